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
  1 sales       cmsgpack array of {sale_id, orders}, no sale twice; orders is an array of {order_id, user_id, quantity, traceparent}; 1..256 orders in all
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

local function known(record, quantity)
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

local function numbers(key, users)
  local found, counts = redis.call('HMGET', key, unpack(users)), {}
  for i = 1, #users do
    counts[users[i]] = tonumber(found[i] or 0)
  end
  return counts
end

-- Two neighbouring windows make a sliding count (the estimate of the "sliding window counter": the previous window weighs as
-- much as of it still lies within the last rate_ms). The window's number lives in the hash, so a stale hash counts as empty.
local function rates(keys_at, requests, rate_ms, users)
  local window = math.floor(now / rate_ms)
  local even, odd = KEYS[keys_at + 4], KEYS[keys_at + 5]
  local current, previous = even, odd
  if window % 2 == 1 then
    current, previous = odd, even
  end
  local rate = {
    requests = requests, ms = rate_ms, window = window, key = current, seen = {}, before = {}, counted = {},
    weight = 1 - (now % rate_ms) / rate_ms, stale = tonumber(redis.call('HGET', current, '#') or -1) ~= window,
  }
  if not rate.stale then
    rate.seen = numbers(current, users)
  end
  if tonumber(redis.call('HGET', previous, '#') or -1) == window - 1 then
    rate.before = numbers(previous, users)
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

-- Reads and decides, and writes nothing: returns the results, and what is to be written of the sale.
local function decide(keys_at, sale_id, orders)
  local results = {}
  local stock, f = load_stock(KEYS[keys_at + 1], 'state', 'starts_ms', 'ends_ms', 'max_per_user', 'hold_seconds', 'rate_requests',
    'rate_seconds')
  if not stock then
    for i = 1, #orders do
      results[i] = { 'unknown_sale' }
    end
    return results, nil
  end
  local closed = refusal(f[6], tonumber(f[7]), tonumber(f[8]))
  local max_per_user, hold_seconds, rate_requests = tonumber(f[9]), tonumber(f[10]), tonumber(f[11])
  local deadline = now + hold_seconds * 1000

  local ids, users = {}, {}
  for i = 1, #orders do
    ids[i], users[i] = orders[i][1], orders[i][2]
  end
  local records = load_records(KEYS[keys_at + 2], ids)

  -- Read only what a decision can need: a sold-out sale without limits costs two HMGET.
  local held, rate = {}, nil
  if not closed and (max_per_user > 0 or stock.available > 0) then
    held = numbers(KEYS[keys_at + 3], users)
  end
  if not closed and rate_requests > 0 then
    rate = rates(keys_at, rate_requests, tonumber(f[12]) * 1000, users)
  end

  local fresh, lines, bought, accepted = {}, {}, {}, { 'accepted', 'R', deadline }
  for i = 1, #orders do
    local id, user, quantity, trace = orders[i][1], orders[i][2], orders[i][3], orders[i][4]
    local record = records[id]
    if record then
      results[i] = known(record, quantity)
    elseif closed then
      results[i] = closed
    elseif rate and over_rate(rate, user) then
      results[i] = { 'rate_limited', '', 0, rate.ms - now % rate.ms }
    elseif max_per_user > 0 and (held[user] or 0) + quantity > max_per_user then
      results[i] = { 'user_limit' }
    elseif quantity > stock.available then
      results[i] = { 'out_of_stock' }
    else
      stock.available, stock.reserved = stock.available - quantity, stock.reserved + quantity
      held[user] = (held[user] or 0) + quantity
      bought[user] = held[user]
      record = { 'R', user, quantity, deadline }
      local line = { id, user, quantity }
      if trace ~= '' then
        record[TRACE], line[4] = trace, trace
      end
      records[id], fresh[id] = record, record
      lines[#lines + 1] = line
      results[i] = accepted
    end
  end
  local broken = broken_stock(stock)
  if broken then
    error(broken)
  end
  return results, {
    sale_id = sale_id, stock = stock, rate = rate, hold_seconds = hold_seconds, deadline = deadline, fresh = fresh, lines = lines,
    bought = bought,
  }
end

local function save_rate(rate)
  if not next(rate.counted) then
    return
  end
  if rate.stale then
    redis.call('UNLINK', rate.key)
  end
  local args = { '#', rate.window }
  for user, count in pairs(rate.counted) do
    args[#args + 1] = user
    args[#args + 1] = count
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
  local buyer_args, deadlines_key = {}, KEYS[keys_at + 6]
  for user, count in pairs(sale.bought) do
    buyer_args[#buyer_args + 1] = user
    buyer_args[#buyer_args + 1] = count
  end
  local deadline_args = due[deadlines_key] or {}
  for i = 1, #sale.lines do
    deadline_args[#deadline_args + 1] = sale.deadline
    deadline_args[#deadline_args + 1] = sale.sale_id .. '|' .. sale.lines[i][1]
  end
  due[deadlines_key] = deadline_args
  save_records(KEYS[keys_at + 2], sale.fresh)
  redis.call('HSET', KEYS[keys_at + 3], unpack(buyer_args))
  save_stock(KEYS[keys_at + 1], sale.stock)
  add_note(notes, KEYS[keys_at + 7], 'order.reserved.' .. sale.hold_seconds, {
    v = 1, type = 'order.reserved', sale = sale.sale_id, epoch = sale.stock.epoch, at = now, deadline = sale.deadline, orders = sale.lines,
  })
end

local answers = for_each_sale(sales, KEYS_EACH, decide, save)
for key, args in pairs(due) do
  redis.call('ZADD', key, unpack(args))
end
return cmsgpack.pack({ now, answers, publish_notes(notes) })
