#!lua flags=allow-oom
--[[
Purpose: Move old entries from the direct outbox to the shared one: the gateway that wrote them did not publish them, so any gateway may.
KEYS:
  1 direct      stream  entries that the gateway which wrote them publishes itself
  2 outbox      stream  entries that any gateway publishes
  3 fence       hash    the shard's fence
ARGV:
  1 age_ms      how old an entry must be
  2 count_max   most entries to look at in one call
  3 clock_ms    empty for Redis TIME
  4 known       the highest seq of the shard that the caller was answered; may be left out
Returns: cmsgpack {now_ms, status, moved}
  status: moved none
]]
-- @include lib/clock.lua
-- @include lib/fence.lua
local direct_key, outbox_key = KEYS[1], KEYS[2]
local now = now_ms(ARGV[3])
local age_ms = tonumber(ARGV[1])

-- When an entry was written: its field `t`, or the time in its id if an older release wrote it.
local function written_ms(id, fields)
  for i = 1, #fields, 2 do
    if fields[i] == 't' then
      return tonumber(fields[i + 1])
    end
  end
  return tonumber(id:match('^%d+'))
end

-- A time in the future comes from a clock that was set back since. Such an entry may be of any age, and publishing it twice is harmless.
local function is_old(entry)
  local written = written_ms(entry[1], entry[2])
  return written <= now - age_ms or written > now
end

require_open(KEYS[3], ARGV[4])
local entries, moved = redis.call('XRANGE', direct_key, '-', '+', 'COUNT', ARGV[2]), 0
for i = 1, #entries do
  if is_old(entries[i]) then
    redis.call('XADD', outbox_key, '*', unpack(entries[i][2]))
    redis.call('XDEL', direct_key, entries[i][1])
    moved = moved + 1
  end
end
return cmsgpack.pack({ now, moved > 0 and 'moved' or 'none', moved })
