-- Script for wrk: repeats one GET; with the argument `differing`, each with another header, so that no two requests have the same bytes.
-- The last line of the output is JSON with the counts, which tools/bench/wrk.py reads.
function init(args)
  if args[1] ~= 'differing' then
    return
  end
  local count = 0
  request = function()
    count = count + 1
    return wrk.format(nil, nil, {['X-Number'] = count})
  end
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"seconds":%.6f,"refused":%d,"broken":%d,"p50_ms":%.3f,"p99_ms":%.3f,"max_ms":%.3f}\n',
    summary.requests, summary.duration / 1e6, errors.status, errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3))
end
