#!lua flags=allow-oom
--[[
Purpose: Move what lies long in the direct outbox, because the gateway that was to publish it has not, to the shared one, where any gateway takes it.
KEYS:
  1 direct      stream  entries that the gateway which made them publishes itself
  2 outbox      stream  entries that any gateway publishes
ARGV:
  1 age_ms      how old an entry must be
  2 count_max   most entries of one call
  3 clock_ms    empty for Redis TIME
Returns: cmsgpack {now_ms, status, moved}
  status: moved none
]]
-- @include lib/clock.lua
local direct_key, outbox_key = KEYS[1], KEYS[2]
local now = now_ms(ARGV[3])
local entries = redis.call('XRANGE', direct_key, '-', now - tonumber(ARGV[1]), 'COUNT', ARGV[2])
for i = 1, #entries do
  redis.call('XADD', outbox_key, '*', unpack(entries[i][2]))
  redis.call('XDEL', direct_key, entries[i][1])
end
return cmsgpack.pack({ now, #entries > 0 and 'moved' or 'none', #entries })
