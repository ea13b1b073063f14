#!lua flags=allow-oom
--[[
Purpose: Remove consumers that hold no entry and have been idle for long from a consumer group. It is one step, so that no consumer can read in between.
KEYS:
  1 outbox      stream  entries that any gateway publishes
ARGV:
  1 group       the consumer group
  2 idle_ms     how long a consumer must have been idle
  3 clock_ms    empty for Redis TIME
Returns: cmsgpack {now_ms, status, removed}
  status: dismissed none
]]
-- @include lib/clock.lua
local outbox_key, group, idle_ms = KEYS[1], ARGV[1], tonumber(ARGV[2])
local removed = 0
for _, flat in ipairs(redis.call('XINFO', 'CONSUMERS', outbox_key, group)) do
  local consumer = {}
  for i = 1, #flat, 2 do
    consumer[flat[i]] = flat[i + 1]
  end
  if consumer.pending == 0 and consumer.idle >= idle_ms then
    redis.call('XGROUP', 'DELCONSUMER', outbox_key, group, consumer.name)
    removed = removed + 1
  end
end
return cmsgpack.pack({ now_ms(ARGV[3]), removed > 0 and 'dismissed' or 'none', removed })
