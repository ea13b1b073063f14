#!lua
--[[
Purpose: Decide orders of several sales, each sale in one atomic step: replay, sale times, rate, buyer limits, stock; hold units, set deadlines, write the outbox.
KEYS:
  1 outbox       stream  one entry for all accepted orders of the call that have the same hold, and for the replayed ones of confirmed sales; the caller chooses the outbox
  and then for each sale of ARGV[1], in their order
  +1 sale        hash    definition and counters
  +2 orders      hash    order id -> packed record
  +3 buyers      hash    user -> units held or bought; '#<user>' -> the buyer's orders that were released
  +4 rate_even   hash    user -> requests in the even rate window; field '#' is the window's number: no user id begins with it
  +5 rate_odd    hash    the same for odd windows
  +6 deadlines   zset    <sale>|<order id> by deadline in ms
  +7 fence       hash    the fence of the sale's shard
  +8 shared      stream  the shared outbox of the sale's shard, which has the sale's definition until the broker has confirmed it
ARGV:
  1 orders      cmsgpack array of {sale_ids, counts, order_ids, user_ids, quantities, confirms, traceparents, other_ids}: the sales, each once, how many
                orders each has, and the orders of all sales, one sale after the other; 1..256 orders; traceparents are left out when no order is traced;
                other_ids: what the orders would be called by the other key of order ids; left out while there is one key;
                confirms: whether the caller answers orders of confirmed sales after the broker's confirm of their entry; if it cannot, they are refused
  2 clock_ms    empty for Redis TIME
  3 known       cmsgpack array: for each sale the highest seq of its shard that the caller was answered; may be left out
Returns: cmsgpack {now_ms, results, entries, seq}; an entry is {entry_id, routing_key, body}; a result is {status, state, deadline_ms, retry_after_ms, routing_key, order_id}, trailing fields left out where they are empty; routing_key: of the entry whose confirm the answer waits for; order_id: of a replayed order that is there by its other id; or a text that describes what is broken in the sale's data: then nothing of the sale has changed.
  status: accepted replayed gone conflict unknown_sale sale_removed not_started ended paused closed rate_limited order_limit user_limit out_of_stock broker_away
]]
-- @include lib/clock.lua
-- @include lib/stock.lua
-- @include lib/terms.lua
-- @include lib/record.lua
-- @include lib/rate.lua
-- @include lib/fence.lua
-- @include lib/outbox.lua
-- @include lib/sales.lua
local KEYS_BEFORE, KEYS_EACH = 1, 8
local sale_ids, counts, ids, users, quantities, confirms, traces, others = unpack(cmsgpack.unpack(ARGV[1]))
local now = now_ms(ARGV[2])
local now_text = whole(now)
local LIMITED, OUT, CONFLICT, BROKER_AWAY = { 'user_limit' }, { 'out_of_stock' }, { 'conflict' }, { 'broker_away' }

-- Nothing says whether the entry of a confirmed sale's order was confirmed, so the order is noted again: `sale.again` has its id and record.
local function replay(sale, id, record, quantity)
  if record[QUANTITY] ~= quantity then
    return CONFLICT
  elseif record[STATE] ~= 'R' and record[STATE] ~= 'P' then
    return { 'gone', record[STATE], record[DEADLINE] }
  elseif not sale.confirmed then
    return { 'replayed', record[STATE], record[DEADLINE] }
  elseif not confirms then
    return BROKER_AWAY
  end
  sale.again = sale.again or {}
  sale.again[#sale.again + 1] = { id, record }
  return { 'replayed', record[STATE], record[DEADLINE], 0, sale.hold.routing_key }
end

-- How the sale as a whole refuses new orders (replays still get their answer); nil while it accepts them.
local function refusal(state, starts_ms, ends_ms)
  if state ~= 'open' then
    return { state }
  elseif now < starts_ms then
    return { 'not_started', '', 0, starts_ms - now }
  elseif ends_ms > 0 and now >= ends_ms then
    return { 'ended' }
  end
  return nil
end

-- What is decided and not yet written: one list for the orders of all sales, because most sales of a call have few orders, and each table
-- costs. `records` and `buyers` have two values for each order, `lines` has one.
local results, records, buyers, lines = {}, {}, {}, {}

-- What accepted orders with the same hold share: their answer, and the parts of their message.
local holds = {}
local function hold_of(seconds)
  local hold = holds[seconds]
  if not hold then
    local deadline_ms = now + seconds * 1000
    local deadline = whole(deadline_ms)
    hold = {
      ms = seconds * 1000, accepted = { 'accepted', 'R', deadline_ms }, deadline = deadline, routing_key = 'order.reserved.' .. seconds,
      times = ',"at":' .. now_text .. ',"deadline":' .. deadline .. ',"orders":[',
    }
    holds[seconds] = hold
  end
  return hold
end

-- Accept order `i`; `units` are the units of its buyer, this order included.
local function accept(sale, i, units)
  local id, user, quantity, accepted = ids[i], users[i], quantities[i], sale.accepted
  sale.available, sale.reserved = sale.available - quantity, sale.reserved + quantity
  local trace = traces and traces[i] ~= '' and traces[i] or nil
  local at = #records + 1
  records[at] = id
  records[at + 1] = cmsgpack.pack({ 'R', user, quantity, accepted[3], trace })
  -- If a buyer has several orders, the last one counts.
  buyers[at] = user
  buyers[at + 1] = whole(units)
  -- No id needs escaping in JSON (libs/core ids.py), and the gateway made the traceparents. Concatenation is faster than string.format.
  lines[#lines + 1] = '["' .. id .. '","' .. user .. '",' .. quantity .. (trace and ',"' .. trace .. '"]' or ']')
  results[i] = accepted
end

-- Reads only what a decision can need: for a sold-out sale without limits, its counters and the orders' records.
local function decide_each(keys_at, sale, first, last, closed, max_per_user, rate_requests, rate_seconds, max_released)
  local known = redis.call('HMGET', KEYS[keys_at + 2], unpack(ids, first, last))
  local known_other = others and redis.call('HMGET', KEYS[keys_at + 2], unpack(others, first, last))
  local held_before, released, rate
  if not closed and (max_per_user > 0 or sale.available > 0) then
    held_before = redis.call('HMGET', KEYS[keys_at + 3], unpack(users, first, last))
  end
  if not closed and max_released > 0 then
    local fields = {}
    for i = first, last do
      fields[#fields + 1] = '#' .. users[i]
    end
    released = redis.call('HMGET', KEYS[keys_at + 3], unpack(fields))
  end
  if not closed and rate_requests > 0 and sale.available > 0 then
    rate = load_rate(KEYS[keys_at + 4], KEYS[keys_at + 5], users, first, last, rate_requests, rate_seconds * 1000, now)
    sale.rate = rate
  end
  -- What this call adds: quantities by order id, and the units of each buyer who got some.
  local fresh, held = {}, {}
  for i = first, last do
    local id, user, quantity, place = ids[i], users[i], quantities[i], i - first + 1
    local before = held_before and held_before[place]
    -- A count that is no number is nil here, and the sum below then fails: a sale whose data is broken sells nothing.
    local units = held[user] or not before and 0 or tonumber(before)
    if known[place] then
      results[i] = replay(sale, id, cmsgpack.unpack(known[place]), quantity)
    elseif known_other and known_other[place] then
      local result = replay(sale, others[i], cmsgpack.unpack(known_other[place]), quantity)
      if result[1] == 'replayed' then
        result[4], result[5], result[6] = 0, result[5] or '', others[i]
      end
      results[i] = result
    elseif fresh[id] then
      results[i] = fresh[id] == quantity and { 'replayed', unpack(sale.accepted, 2) } or CONFLICT
    elseif closed then
      results[i] = closed
    elseif rate and sale.available > 0 and over_rate(rate, user) then
      results[i] = { 'rate_limited', '', 0, rate.ms - now % rate.ms }
    elseif released and released[place] and tonumber(released[place]) >= max_released then
      results[i] = { 'order_limit' }
    elseif max_per_user > 0 and units + quantity > max_per_user then
      results[i] = LIMITED
    elseif quantity > sale.available then
      results[i] = OUT
    else
      fresh[id], held[user] = quantity, units + quantity
      accept(sale, i, units + quantity)
    end
  end
end

-- The deadlines' keys whose type was checked in this call: they are written without being read, and so is the outbox.
-- lib/types.lua checks the same, but each function that a script defines costs every call.
local checked = {}

-- Reads and decides the orders from first to last, and writes nothing: returns what is to be written of the sale.
local function decide(keys_at, _, first, last)
  local sale, f = load_stock(KEYS[keys_at + 1], 'terms')
  if not sale then
    -- A function or a table more costs each call, so what is rare is written out: this is load_tombstone.
    local missing = { redis.call('HGET', KEYS[keys_at + 1], 'removed_owner') and 'sale_removed' or 'unknown_sale' }
    for i = first, last do
      results[i] = missing
    end
    return nil
  end
  local state, starts_ms, ends_ms, max_per_user, hold_seconds, rate_requests, rate_seconds, max_released, confirmed =
    cmsgpack.unpack(f[6] or save_terms(KEYS[keys_at + 1]))
  -- Terms that an older release packed lack it.
  max_released = max_released or 0
  local closed = refusal(state, starts_ms, ends_ms)
  local hold = hold_of(hold_seconds)
  sale.first, sale.hold, sale.accepted, sale.epoch_text = #records + 1, hold, hold.accepted, f[5]
  if confirmed then
    sale.confirmed, sale.accepted = true, { 'accepted', 'R', hold.accepted[3], 0, hold.routing_key }
    -- A sold-out sale can give its final answer without a broker.
    closed = closed or not confirms and sale.available > 0 and BROKER_AWAY or nil
    local waiting = not closed and sale.available > 0 and redis.call('HMGET', KEYS[keys_at + 1], 'announced', 'unannounced')
    if waiting and waiting[2] and waiting[2] ~= '0' and #redis.call('XRANGE', KEYS[keys_at + 8], waiting[1], waiting[1]) > 0 then
      -- A rebuild has only the units that the ledger knows, so no buyer is promised others.
      local units = sale.available - tonumber(waiting[2])
      for i = first, last do
        units = units - quantities[i]
      end
      closed = units < 0 and BROKER_AWAY or nil
    end
  end
  if last == first and not closed and not others and max_per_user == 0 and rate_requests == 0 and max_released == 0 and quantities[first] <= sale.available then
    -- A single order that no limit can refuse needs nothing read: `save_single` finds out whether it is new as it writes it.
    sale.single = first
    accept(sale, first, quantities[first])
  else
    decide_each(keys_at, sale, first, last, closed, max_per_user, rate_requests, rate_seconds, max_released)
  end
  local broken = broken_stock(sale)
  if broken then
    error(broken)
  end
  sale.last = #records
  if (sale.last >= sale.first or sale.again) and not checked[KEYS[keys_at + 6]] then
    redis.call('XLEN', KEYS[1])
    redis.call('ZCARD', KEYS[keys_at + 6])
    checked[KEYS[keys_at + 6]] = true
  end
  return sale
end

-- Writes the order of item `i` and adds to its buyer's units. Returns whether it was written. If the order exists already or one of the
-- two hashes is broken, that becomes the item's result, and nothing of the sale changes.
local function save_single(keys_at, sale_id, sale, at)
  local orders_key, id, i = KEYS[keys_at + 2], records[at], sale.single
  local written = redis.pcall('HSETNX', orders_key, id, records[at + 1])
  -- A full server refuses the write even when the order exists: a replay gets its answer all the same.
  local known = written ~= 1 and redis.pcall('HGET', orders_key, id)
  if type(known) == 'string' then
    results[i] = replay(sale, id, cmsgpack.unpack(known), quantities[i])
    return false
  end
  local fault = written
  if written == 1 then
    fault = redis.pcall('HINCRBY', KEYS[keys_at + 3], buyers[at], buyers[at + 1])
    if type(fault) == 'number' then
      return true
    end
    redis.call('HDEL', orders_key, id)
  elseif not reason_of(fault, sale_id):find('^WRONGTYPE') then
    -- Not this sale's data: the server accepts no writes, so none was made before.
    error(fault)
  end
  results[i] = reason_of(fault, sale_id)
  return false
end

-- What sales share is written once for all of them: deadlines by key, messages by routing key.
local due, notes, emptied = {}, {}, {}

-- A message of a replayed order is that of its first entry: the same deadline, and `at` before it by the sale's hold.
local function note_again(sale_id, sale)
  for n = 1, #sale.again do
    local id, record = sale.again[n][1], sale.again[n][2]
    local trace = record[TRACE] and record[TRACE] ~= '' and ',"' .. record[TRACE] .. '"' or ''
    add_note(notes, sale.hold.routing_key, '{"v":1,"type":"order.reserved","sale":"' .. sale_id .. '","epoch":' .. sale.epoch_text
      .. ',"at":' .. whole(math.min(now, record[DEADLINE] - sale.hold.ms)) .. ',"deadline":' .. whole(record[DEADLINE])
      .. ',"orders":[["' .. id .. '","' .. record[USER] .. '",' .. record[QUANTITY] .. trace .. ']]')
  end
end

local function save(keys_at, sale_id, sale)
  if sale.rate and sale.available > 0 then
    save_rate(sale.rate)
  elseif sale.rate then
    -- Sold out: every answer is the same and costs little, so nobody is counted until units are released.
    emptied[#emptied + 1] = KEYS[keys_at + 4]
    emptied[#emptied + 1] = KEYS[keys_at + 5]
  end
  if sale.again then
    note_again(sale_id, sale)
  end
  local first, last = sale.first, sale.last
  if last < first then
    return
  end
  if sale.single then
    if not save_single(keys_at, sale_id, sale, first) then
      if sale.again then
        note_again(sale_id, sale)
      end
      return
    end
  else
    redis.call('HSET', KEYS[keys_at + 2], unpack(records, first, last))
    redis.call('HSET', KEYS[keys_at + 3], unpack(buyers, first, last))
  end
  local hold, deadlines_key = sale.hold, KEYS[keys_at + 6]
  local deadlines = due[deadlines_key] or {}
  due[deadlines_key] = deadlines
  for i = first, last, 2 do
    deadlines[#deadlines + 1] = hold.deadline
    deadlines[#deadlines + 1] = sale_id .. '|' .. records[i]
  end
  redis.call('HSET', KEYS[keys_at + 1], 'available', whole(sale.available), 'reserved', whole(sale.reserved))
  local orders = table.concat(lines, ',', (first + 1) / 2, last / 2)
  add_note(notes, hold.routing_key, '{"v":1,"type":"order.reserved","sale":"' .. sale_id .. '","epoch":' .. sale.epoch_text .. hold.times .. orders .. ']')
end

-- The entries go to the outbox of the first sale's shard, so they get positions of that shard.
local known, fence_key = (ARGV[3] or '') ~= '' and cmsgpack.unpack(ARGV[3]), nil
for n = 1, #sale_ids do
  local keys_at = KEYS_BEFORE + (n - 1) * KEYS_EACH
  fence_key = fence_key or KEYS[keys_at + 7]
  require_open(KEYS[keys_at + 7], known and known[n])
end
for_each_sale(sale_ids, counts, KEYS_BEFORE, KEYS_EACH, results, decide, save)
for key, args in pairs(due) do
  redis.call('ZADD', key, unpack(args))
end
if #emptied > 0 then
  -- Last, because after a write that deletes a full server refuses no further write.
  redis.call('UNLINK', unpack(emptied))
end
local entries = publish_notes(KEYS[1], fence_key, notes, now)
if #entries == 0 then
  -- A master that was cut off from its replicas refuses writes only, and its successor may sell what is sold out here. No fence has this
  -- field, so the write changes nothing, but such a server refuses it, and with it the whole call. A full server does not.
  redis.call('HDEL', fence_key, '')
end
return cmsgpack.pack({ now, results, entries, seq_of(fence_key) })
