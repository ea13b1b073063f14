#!lua flags=allow-oom
--[[
Purpose: Change a shard's fence, if it still is what the caller read. Only recovery calls this: no gateway, operator or admin call creates or opens a fence.
KEYS:
  1 fence       hash    the shard's fence
ARGV:
  1 incarnation what the caller read; empty if the fence was missing
  2 state       what the caller read; empty if any state will do
  3 fields      cmsgpack map of the fields to set; its seq never lowers the fence's
  4 seal        1 to accept the history that this server has now: its replication id becomes the fence's;
                a replication id to accept only that one, for another server may have been promoted meanwhile; empty to accept none
  5 clock_ms    empty for Redis TIME
  6 attempt     the attempt at a recovery that the fence must have; empty or left out for any
Returns: cmsgpack {now_ms, status, fence}; fence is the flat field/value list of the hash after the call
  status: sealed changed
]]
-- @include lib/clock.lua
-- @include lib/fence.lua
local fence_key, now = KEYS[1], now_ms(ARGV[5])
local f = redis.call('HMGET', fence_key, 'incarnation', 'state', 'seq', 'attempt')
local other_fence = (f[1] or '') ~= ARGV[1] or ARGV[2] ~= '' and f[2] ~= ARGV[2] or (ARGV[6] or '') ~= '' and f[4] ~= ARGV[6]
local other_history = ARGV[4] ~= '' and ARGV[4] ~= '1' and ARGV[4] ~= current_replid()
if other_fence or other_history then
  return cmsgpack.pack({ now, 'changed', redis.call('HGETALL', fence_key) })
end
local args = {}
for field, value in pairs(cmsgpack.unpack(ARGV[3])) do
  if field == 'seq' then
    value = string.format('%d', math.max(value, tonumber(f[3] or 0)))
  end
  args[#args + 1] = field
  args[#args + 1] = value
end
if ARGV[4] ~= '' then
  args[#args + 1] = 'replid'
  args[#args + 1] = current_replid()
end
redis.call('HSET', fence_key, unpack(args))
return cmsgpack.pack({ now, 'sealed', redis.call('HGETALL', fence_key) })
