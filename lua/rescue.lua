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
local age_ms = tonumber(ARGV[1])

-- When it was written, from its field `t`; one that the release before wrote has its id alone.
local function written_ms(id, fields)
  for i = 1, #fields, 2 do
    if fields[i] == 't' then
      return tonumber(fields[i + 1])
    end
  end
  return tonumber(id:match('^%d+'))
end

-- A time to come was written by a clock that has been set back since: such an entry may be of any age, and to publish it twice is harmless.
local function is_old(entry)
  local written = written_ms(entry[1], entry[2])
  return written <= now - age_ms or written > now
end

local entries, moved = redis.call('XRANGE', direct_key, '-', '+', 'COUNT', ARGV[2]), 0
for i = 1, #entries do
  if is_old(entries[i]) then
    redis.call('XADD', outbox_key, '*', unpack(entries[i][2]))
    redis.call('XDEL', direct_key, entries[i][1])
    moved = moved + 1
  end
end
return cmsgpack.pack({ now, moved > 0 and 'moved' or 'none', moved })
