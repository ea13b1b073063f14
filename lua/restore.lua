#!lua flags=allow-oom
--[[
Purpose: Write what a rebuild decided about one sale: its hash or its tombstone, a page of its orders with their buyers and deadlines, payments for unknown orders,
         and messages that the ledger lacks. An order in Redis is only replaced by one whose state is not lower, so a repeated call changes nothing but the outbox.
KEYS:
  1 fence       hash    the fence of the sale's shard: its state must be `restoring`, and its history that of the server
  2 outbox      stream  an entry for each message
  3 sales       set     the sales of this shard
  4 deadlines   zset    <sale>|<order id> by deadline in ms
  5 strays      hash    <sale>|<order>|<payment> -> time; field '#' counts them
  6 sale        hash    definition and counters
  7 orders      hash    order id -> packed record
  8 buyers      hash    user -> units held or bought; '#<user>' -> the buyer's orders that were released
  9 quarantine  hash    <sale>|<order id>|<epoch of the sale> -> a record that cannot be read, and that the ledger does not have
ARGV:
  1 sale_id     the sale's id
  2 incarnation the fence's incarnation
  3 part        cmsgpack map with any of sale (flat list of fields and values), unset (fields that it does not have), tombstone ({owner, removed_ms, epoch, generation}), clear (the epoch of the present sale: an
                earlier sale of the name, or this one once it was removed, leaves Redis), orders (columns ids, records, released;
                1..1000 orders), max_released, strays (flat list of names and times) and lines (list of {routing_key, body});
                before those, of what is damaged: drop (names of sale, orders, buyers: keys of a wrong type), known and unknown (ids of records that cannot be read,
                which the ledger has or lacks), epoch (of the sale with the unknown ones), settled (fields that leave the quarantine), forget_buyers, count (ids of orders that buyers are counted by), and lapsed (those among them that were released before they were paid);
                unannounced, with a definition as the first of the lines: the units that the ledger learns from it;
                close, for a sale in doubt: its counters contradict each other, so that no script changes it; this alone is allowed while the fence is `verifying`
  4 clock_ms    empty for Redis TIME
  5 attempt     the attempt at a recovery that the fence must have; empty or left out for any
Returns: cmsgpack {now_ms, status, written, seq}; written is how many orders were new or replaced
  status: restored
]]
-- @include lib/clock.lua
-- @include lib/types.lua
-- @include lib/stock.lua
-- @include lib/terms.lua
-- @include lib/record.lua
-- @include lib/records.lua
-- @include lib/strays.lua
-- @include lib/tombstone.lua
-- @include lib/fence.lua
-- @include lib/outbox.lua
local fence_key, outbox_key, sales_key, deadlines_key, strays_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local sale_key, orders_key, buyers_key, quarantine_key = KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local sale_id, part, now = ARGV[1], cmsgpack.unpack(ARGV[3]), now_ms(ARGV[4])

-- orders.RANK of flashsale_core.
local RANK = { R = 0, C = 1, X = 1, P = 2, T = 3, W = 3, K = 3 }

-- No sum of counters can contain it: each script finds the sale broken, and changes nothing.
local CLOSED_IN_DOUBT = -1

local function units_of(state, quantity)
  return (state == 'R' or state == 'P') and quantity or 0
end

local function was_released(state)
  return (state == 'X' or state == 'C') and 1 or 0
end

-- Adds to counts in the buyers' hash, by field; returns the counts afterwards. A count that falls to 0 is deleted.
local function add_counts(changes)
  local fields, after = {}, {}
  for field in pairs(changes) do
    fields[#fields + 1] = field
  end
  if #fields == 0 then
    return after
  end
  local before = redis.call('HMGET', buyers_key, unpack(fields))
  for i, field in ipairs(fields) do
    after[field] = tonumber(before[i] or 0) + changes[field]
  end
  save_units(buyers_key, after)
  return after
end

-- A buyer who reached the limit of released orders: `reserve` has to read these counts (lib/released.lua).
local function limit_released(counts)
  local limit = tonumber(part.max_released)
  for field, count in pairs(counts) do
    if limit > 0 and field:sub(1, 1) == '#' and count >= limit then
      redis.call('HSET', sale_key, 'limits_released', 1)
      save_terms(sale_key)
      return
    end
  end
end

-- Records that cannot be read leave the sale. Those that the ledger lacks are kept for a person.
local function take_out(ids, is_kept)
  local records, members = redis.call('HMGET', orders_key, unpack(ids)), {}
  for i, id in ipairs(ids) do
    members[i] = sale_id .. '|' .. id
    if is_kept and records[i] then
      redis.call('HSET', quarantine_key, members[i] .. '|' .. whole(part.epoch), records[i])
    end
  end
  redis.call('HDEL', orders_key, unpack(ids))
  redis.call('ZREM', deadlines_key, unpack(members))
end

local function count_buyers(ids, lapsed)
  local counts, was_lapsed = {}, {}
  for _, id in ipairs(lapsed) do
    was_lapsed[id] = 1
  end
  for i, packed in ipairs(redis.call('HMGET', orders_key, unpack(ids))) do
    if packed then
      local record = cmsgpack.unpack(packed)
      local user, units = record[USER], units_of(record[STATE], record[QUANTITY])
      counts[user] = (counts[user] or 0) + units
      local released = RANK[record[STATE]] >= RANK.P and was_lapsed[ids[i]] or was_released(record[STATE])
      counts['#' .. user] = (counts['#' .. user] or 0) + released
    end
  end
  add_counts(counts)
end

local function mend()
  local keys = { sale = sale_key, orders = orders_key, buyers = buyers_key }
  for _, name in ipairs(part.drop or {}) do
    redis.call('UNLINK', keys[name])
  end
  for _, field in ipairs(part.settled or {}) do
    redis.call('HDEL', quarantine_key, field)
  end
  if part.known and #part.known > 0 then
    take_out(part.known, false)
  end
  if part.unknown and #part.unknown > 0 then
    take_out(part.unknown, true)
  end
  if part.forget_buyers then
    redis.call('UNLINK', buyers_key)
  end
  if part.count then
    count_buyers(part.count, part.lapsed or {})
  end
end

local function restore_orders(ids, after, released)
  local before = redis.call('HMGET', orders_key, unpack(ids))
  local records, counts, due, over = {}, {}, {}, {}
  for i = 1, #ids do
    local old, new = before[i] and cmsgpack.unpack(before[i]), after[i]
    if not old or RANK[old[STATE]] <= RANK[new[STATE]] then
      local user, packed, member = new[USER], cmsgpack.pack(new), sale_id .. '|' .. ids[i]
      local units, times = units_of(new[STATE], new[QUANTITY]), released[i]
      if old then
        units = units - units_of(old[STATE], old[QUANTITY])
        -- An order that was paid is already counted if it was released before.
        times = RANK[old[STATE]] >= RANK.P and 0 or math.max(0, times - was_released(old[STATE]))
      end
      if before[i] ~= packed then
        records[#records + 1] = ids[i]
        records[#records + 1] = packed
      end
      if units ~= 0 then
        counts[user] = (counts[user] or 0) + units
      end
      if released[i] > 0 then
        -- Also without a change, because the count is compared with the limit.
        counts['#' .. user] = (counts['#' .. user] or 0) + times
      end
      if new[STATE] == 'R' then
        due[#due + 1] = whole(new[DEADLINE])
        due[#due + 1] = member
      elseif old then
        over[#over + 1] = member
      end
    end
  end
  if #records > 0 then
    redis.call('HSET', orders_key, unpack(records))
  end
  limit_released(add_counts(counts))
  if #due > 0 then
    redis.call('ZADD', deadlines_key, unpack(due))
  end
  if #over > 0 then
    redis.call('ZREM', deadlines_key, unpack(over))
  end
  return #records / 2
end

local function restore_strays(names_and_times)
  local count = tonumber(redis.call('HGET', strays_key, '#') or 0) or redis.call('HLEN', strays_key) - 1
  for i = 1, #names_and_times, 2 do
    if count < STRAYS_MAX then
      count = count + redis.call('HSETNX', strays_key, names_and_times[i], names_and_times[i + 1])
    end
  end
  redis.call('HSET', strays_key, '#', whole(count))
  redis.call('PEXPIRE', strays_key, STRAYS_MS)
end

-- What a new definition or a removal of the sale deleted before Redis forgot it.
local function clear(epoch)
  local f = redis.call('HMGET', sale_key, 'epoch', 'removed_epoch')
  local known = tonumber(f[1] or f[2] or nil)
  if known and (known < epoch or known == epoch and part.tombstone) then
    redis.call('UNLINK', sale_key, orders_key, buyers_key)
    redis.call('SREM', sales_key, sale_id)
  end
end

-- The step before sealed the history: after a failover since then, nothing is written to the other server.
local fence = redis.call('HMGET', fence_key, 'state', 'incarnation', 'replid', 'seq', 'attempt')
local is_closing = part.close and fence[1] == 'verifying'
local fault = not fence[1] and 'missing' or fence[1] ~= 'restoring' and not is_closing and fence[1] or (fence[2] ~= ARGV[2] or (ARGV[5] or '') ~= '' and fence[5] ~= ARGV[5]) and 'changed'
  or fence[3] ~= current_replid() and 'history'
if fault then
  return redis.error_reply('FENCED ' .. fault)
end
fences[fence_key] = { incarnation = fence[2], seq = tonumber(fence[4] or 0) }
must_be_stream(outbox_key)
must_be_set(sales_key)
must_be_sorted_set(deadlines_key)

mend()
if part.clear then
  clear(part.clear)
end
if part.tombstone then
  local owner, removed_ms, epoch, generation = unpack(part.tombstone)
  local left_ms = removed_ms + TOMBSTONE_MS - now
  if left_ms > 0 then
    save_tombstone(sale_key, owner, whole(removed_ms), epoch, generation or 0)
    redis.call('PEXPIRE', sale_key, whole(left_ms))
  end
elseif part.sale then
  redis.call('HSET', sale_key, unpack(part.sale))
  if part.unset and #part.unset > 0 then
    redis.call('HDEL', sale_key, unpack(part.unset))
  end
  save_terms(sale_key)
  redis.call('SADD', sales_key, sale_id)
end
local written = part.orders and restore_orders(unpack(part.orders)) or 0
if part.strays then
  restore_strays(part.strays)
end
if part.close then
  redis.call('HSET', sale_key, 'available', CLOSED_IN_DOUBT)
end
for i, line in ipairs(part.lines or {}) do
  local id = add_body(outbox_key, line[1], line[2]:sub(1, -2) .. next_position(fence_key), now)
  if i == 1 and part.unannounced then
    -- A `confirmed` sale does not sell these units while the entry waits (lua/reserve.lua): a second loss would forget them with their orders.
    redis.call('HSET', sale_key, 'announced', id, 'unannounced', whole(part.unannounced))
  end
end
return cmsgpack.pack({ now, 'restored', written, seq_of(fence_key) })
