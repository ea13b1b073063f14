-- wrk script: every request an order of another buyer. Arguments: product id, and a prefix that no other run has.
-- The last line of the output is JSON with the counts, for bench/wrk.py.
local threads = 0

function setup(thread)
  thread:set('number', threads)
  threads = threads + 1
end

function init(args)
  -- Ids of a fixed length make the head of the request the same every time.
  user = string.format('%s-%02d-', args[2], number)
  count = 0
  head = 'POST /order HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: '
  shape = '{"userId":"%s%08d","productId":"' .. args[1] .. '","quantity":1,"requestId":"%s%08d"}'
  head = head .. #string.format(shape, user, 0, user, 0) .. '\r\n\r\n'
end

function request()
  count = count + 1
  return head .. string.format(shape, user, count, user, count)
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"seconds":%.6f,"refused":%d,"broken":%d,"p50_ms":%.3f,"p99_ms":%.3f,"max_ms":%.3f}\n',
    summary.requests, summary.duration / 1e6, errors.status, errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3))
end
