#!lua flags=allow-oom
--[[
Purpose: Look at a shard's fence, and note what a gateway knows of the shard: the highest seq it was answered, and how many entries it still has to publish.
         A gateway that was answered a higher seq than the fence has proves that Redis forgot writes: the fence closes for everybody.
KEYS:
  1 fence       hash    the shard's fence
  2 gateways    hash    gateway -> <seq>:<entries held>:<now_ms>
ARGV:
  1 gateway     the gateway's name; empty only to look
  2 seq         the highest seq of the shard that it was answered
  3 held        entries of the shard in its memory that the broker has not confirmed, and calls whose answer may still bring some
  4 clock_ms    empty for Redis TIME
Returns: cmsgpack {now_ms, status, incarnation, seq}; incarnation and seq are 0 when the fence is missing;
         a status that is not open is why the fence is closed: missing, history, hidden, regressed, or the fence's state
  status: open
]]
-- @include lib/clock.lua
-- @include lib/fence.lua
local fence_key, now, known = KEYS[1], now_ms(ARGV[4]), tonumber(ARGV[2])
local f = redis.call('HMGET', fence_key, 'state', 'replid', 'incarnation', 'seq')
if ARGV[1] ~= '' then
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[2] .. ':' .. ARGV[3] .. ':' .. string.format('%d', now))
end
local fault = fence_fault(f, known)
if f[1] == 'open' and known > tonumber(f[4]) then
  redis.call('HSET', fence_key, 'state', 'fenced')
end
return cmsgpack.pack({ now, fault or 'open', tonumber(f[3] or 0), tonumber(f[4] or 0) })
