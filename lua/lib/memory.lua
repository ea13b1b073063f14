-- Whether the server is past its `maxmemory`, which a script with the flag `allow-oom` must check itself. False where INFO is forbidden.
local function memory_is_full()
  local info = redis.pcall('INFO', 'memory')
  if type(info) ~= 'string' then
    return false
  end
  local function bytes(field)
    return tonumber(info:match('\n' .. field .. ':(%d+)') or 0)
  end
  local most = bytes('maxmemory')
  return most > 0 and bytes('used_memory') - bytes('mem_not_counted_for_evict') > most
end
