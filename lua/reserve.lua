#!lua
--[[
Purpose: Decide orders of several sales, each sale in one atomic step: replay, window, rate, buyer limit, stock; hold units, set deadlines, note them in the outbox.
KEYS: for each sale of ARGV[1], in its order
  +1 sale        hash    definition and counters
  +2 orders      hash    order id -> packed record
  +3 buyers      hash    user -> units held or bought
  +4 rate_even   hash    user -> requests in the even rate window; field '#' names the window
  +5 rate_odd    hash    the same for odd windows
  +6 deadlines   zset    <sale>|<order id> by deadline in ms
  +7 outbox      stream  one entry for all accepted orders of the call that have this outbox and the same hold; the caller says which outbox
ARGV:
  1 sales       cmsgpack array of {sale_id, order_ids, user_ids, quantities, traceparents}, no sale twice; each but the first an array with a place for each order,
                the last left out when no order is traced; 1..256 orders in all
  2 clock_ms    empty for Redis TIME
Returns: cmsgpack {now_ms, answers, entries}; an answer is an array of results, or why this sale's data is broken: then nothing of it has changed; an entry is {outbox, entry_id, routing_key, body}; a result is {status, state, deadline_ms, retry_after_ms}, trailing fields left out where they say nothing.
  status: accepted replayed gone conflict unknown_sale not_started ended paused closed rate_limited user_limit out_of_stock
]]
-- @include lib/clock.lua
-- @include lib/stock.lua
-- @include lib/records.lua
-- @include lib/sales.lua
local KEYS_EACH = 7
local sales, now = cmsgpack.unpack(ARGV[1]), now_ms(ARGV[2])
local now_text = whole(now)

local function replay(record, quantity)
  if record[QUANTITY] ~= quantity then
    return { 'conflict' }
  end
  if record[STATE] == 'R' or record[STATE] == 'P' then
    return { 'replayed', record[STATE], record[DEADLINE] }
  end
  return { 'gone', record[STATE], record[DEADLINE] }
end

-- How the sale as a whole refuses new orders (replays still get their answer); nil while it takes them.
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

local function counts(key, users)
  local found, by_user = redis.call('HMGET', key, unpack(users)), {}
  for i = 1, #users do
    by_user[users[i]] = tonumber(found[i] or 0)
  end
  return by_user
end

-- Two neighbouring windows make a sliding count (the estimate of the "sliding window counter": the previous window weighs as
-- much as of it still lies within the last rate_ms). The window's number lives in the hash, so a stale hash counts as empty.
local function load_rate(keys_at, requests, rate_ms, users)
  local window = math.floor(now / rate_ms)
  local current, previous = KEYS[keys_at + 4], KEYS[keys_at + 5]
  if window % 2 == 1 then
    current, previous = previous, current
  end
  local rate = {
    requests = requests, ms = rate_ms, window = window, key = current, seen = {}, before = {}, counted = {},
    weight = 1 - (now % rate_ms) / rate_ms, stale = tonumber(redis.call('HGET', current, '#') or -1) ~= window,
  }
  if not rate.stale then
    rate.seen = counts(current, users)
  end
  if tonumber(redis.call('HGET', previous, '#') or -1) == window - 1 then
    rate.before = counts(previous, users)
  end
  return rate
end

local function over_rate(rate, user)
  local count = rate.seen[user] or 0
  if (rate.before[user] or 0) * rate.weight + count + 1 > rate.requests then
    return true
  end
  rate.seen[user], rate.counted[user] = count + 1, count + 1
  return false
end

-- Ids are of alphabets that JSON escapes nothing of (libs/core ids.py), and traceparents are our own.
local function line_of(id, user, quantity, trace)
  if trace then
    return string.format('["%s","%s",%d,"%s"]', id, user, quantity, trace)
  end
  return string.format('["%s","%s",%d]', id, user, quantity)
end

-- Reads and decides, and writes nothing: returns the results, and what is to be written of the sale.
-- Most sales of a call bring one order or few, so it is the tables and fields of a sale that cost, and only what a decision can need is read.
local function decide(keys_at, sale)
  local ids, users, quantities, traces = sale[2], sale[3], sale[4], sale[5]
  local results = {}
  local stock, f = load_stock(KEYS[keys_at + 1], 'state', 'starts_ms', 'ends_ms', 'max_per_user', 'hold_seconds', 'rate_requests',
    'rate_seconds')
  if not stock then
    for i = 1, #ids do
      results[i] = { 'unknown_sale' }
    end
    return results, nil
  end
  local closed = refusal(f[6], tonumber(f[7]), tonumber(f[8]))
  local max_per_user, hold_seconds, rate_requests = tonumber(f[9]), f[10], tonumber(f[11])
  local deadline = now + hold_seconds * 1000
  local known = redis.call('HMGET', KEYS[keys_at + 2], unpack(ids))
  local held_before = {}
  if not closed and (max_per_user > 0 or stock.available > 0) then
    held_before = redis.call('HMGET', KEYS[keys_at + 3], unpack(users))
  end
  local rate = not closed and rate_requests > 0 and load_rate(keys_at, rate_requests, f[12] * 1000, users)

  -- Of this call: quantities by order id, and the units of each buyer who got some.
  local fresh, held = {}, {}
  local records, lines, accepted = {}, {}, { 'accepted', 'R', deadline }
  for i = 1, #ids do
    local id, user, quantity = ids[i], users[i], quantities[i]
    local units = held[user] or tonumber(held_before[i] or 0)
    if known[i] then
      results[i] = replay(cmsgpack.unpack(known[i]), quantity)
    elseif fresh[id] then
      results[i] = fresh[id] == quantity and { 'replayed', 'R', deadline } or { 'conflict' }
    elseif closed then
      results[i] = closed
    elseif rate and over_rate(rate, user) then
      results[i] = { 'rate_limited', '', 0, rate.ms - now % rate.ms }
    elseif max_per_user > 0 and units + quantity > max_per_user then
      results[i] = { 'user_limit' }
    elseif quantity > stock.available then
      results[i] = { 'out_of_stock' }
    else
      stock.available, stock.reserved = stock.available - quantity, stock.reserved + quantity
      fresh[id], held[user] = quantity, units + quantity
      local trace = traces and traces[i] ~= '' and traces[i] or nil
      records[#records + 1] = id
      records[#records + 1] = cmsgpack.pack({ 'R', user, quantity, deadline, trace })
      lines[#lines + 1] = line_of(id, user, quantity, trace)
      results[i] = accepted
    end
  end
  local broken = broken_stock(stock)
  if broken then
    error(broken)
  end
  return results, {
    id = sale[1], stock = stock, rate = rate, hold_seconds = hold_seconds, deadline = whole(deadline), fresh = fresh, held = held,
    records = records, lines = lines,
  }
end

local function save_rate(rate)
  if not next(rate.counted) then
    return
  end
  if rate.stale then
    redis.call('UNLINK', rate.key)
  end
  local args = { '#', whole(rate.window) }
  for user, count in pairs(rate.counted) do
    args[#args + 1] = user
    args[#args + 1] = whole(count)
  end
  redis.call('HSET', rate.key, unpack(args))
  redis.call('PEXPIRE', rate.key, rate.ms * 2)
end

-- What the sales of a shard share is written once for all of them: deadlines by key, messages by outbox and routing key.
local due, notes = {}, new_notes()
local function save(keys_at, sale)
  if sale.rate then
    save_rate(sale.rate)
  end
  if #sale.lines == 0 then
    return
  end
  local buyers, deadlines_key = {}, KEYS[keys_at + 6]
  for user, units in pairs(sale.held) do
    buyers[#buyers + 1] = user
    buyers[#buyers + 1] = whole(units)
  end
  local deadlines = due[deadlines_key] or {}
  for id in pairs(sale.fresh) do
    deadlines[#deadlines + 1] = sale.deadline
    deadlines[#deadlines + 1] = sale.id .. '|' .. id
  end
  due[deadlines_key] = deadlines
  redis.call('HSET', KEYS[keys_at + 2], unpack(sale.records))
  redis.call('HSET', KEYS[keys_at + 3], unpack(buyers))
  redis.call('HSET', KEYS[keys_at + 1], 'available', whole(sale.stock.available), 'reserved', whole(sale.stock.reserved))
  add_note(notes, KEYS[keys_at + 7], 'order.reserved.' .. sale.hold_seconds, string.format(
    '{"v":1,"type":"order.reserved","sale":"%s","epoch":%s,"at":%s,"deadline":%s,"orders":[%s]}',
    sale.id, whole(sale.stock.epoch), now_text, sale.deadline, table.concat(sale.lines, ',')))
end

local answers = for_each_sale(sales, KEYS_EACH, decide, save)
for key, args in pairs(due) do
  redis.call('ZADD', key, unpack(args))
end
return cmsgpack.pack({ now, answers, publish_notes(notes) })
