#!lua
--[[
Purpose: Decide a batch of orders of one sale in one atomic step: replay, window, rate, buyer limit, stock; hold units, set deadlines, note them in the outbox.
KEYS:
  1 sale        hash    definition and counters
  2 orders      hash    order id -> packed record
  3 buyers      hash    user -> units held or bought
  4 rate_even   hash    user -> requests in the even rate window; field '#' names the window
  5 rate_odd    hash    the same for odd windows
  6 deadlines   zset    <sale>|<order id> by deadline in ms
  7 outbox      stream  one entry for all accepted orders of the batch; the caller says which outbox
ARGV:
  1 sale_id     the sale's id
  2 orders      cmsgpack array of {order_id, user_id, quantity, traceparent}; 1..256 of them
  3 clock_ms    empty for Redis TIME
Returns: cmsgpack {now_ms, results, entry}; entry is {entry_id, routing_key, body} of the outbox, missing when none was added; a result is {status, state, deadline_ms, retry_after_ms}, trailing fields left out where they say nothing.
  status: accepted replayed gone conflict unknown_sale not_started ended paused closed rate_limited user_limit out_of_stock
]]
-- @include lib/clock.lua
-- @include lib/stock.lua
-- @include lib/records.lua
-- @include lib/outbox.lua
local sale_key, orders_key, buyers_key, rate_keys = KEYS[1], KEYS[2], KEYS[3], { [0] = KEYS[4], [1] = KEYS[5] }
local deadlines_key, outbox_key = KEYS[6], KEYS[7]
local sale_id, orders, now = ARGV[1], cmsgpack.unpack(ARGV[2]), now_ms(ARGV[3])

local results = {}
local stock = load_stock(sale_key)
if not stock then
  for i = 1, #orders do
    results[i] = { 'unknown_sale' }
  end
  return cmsgpack.pack({ now, results })
end

local f = redis.call('HMGET', sale_key, 'state', 'starts_ms', 'ends_ms', 'max_per_user', 'hold_seconds',
  'rate_requests', 'rate_seconds')
local state, starts_ms, ends_ms = f[1], tonumber(f[2]), tonumber(f[3])
local max_per_user, hold_seconds = tonumber(f[4]), tonumber(f[5])
local rate_requests, rate_ms = tonumber(f[6]), tonumber(f[7]) * 1000
local deadline = now + hold_seconds * 1000

local ids, users = {}, {}
for i = 1, #orders do
  ids[i], users[i] = orders[i][1], orders[i][2]
end
local records = load_records(orders_key, ids)

-- The sale as a whole refuses new orders (replays still get their answer).
local closed
if state ~= 'open' then
  closed = { state }
elseif now < starts_ms then
  closed = { 'not_started', '', 0, starts_ms - now }
elseif ends_ms > 0 and now >= ends_ms then
  closed = { 'ended' }
end

-- Read only what a decision can need: a sold-out sale without limits costs one HMGET.
local held = {}
if not closed and (max_per_user > 0 or stock.available > 0) then
  local found = redis.call('HMGET', buyers_key, unpack(users))
  for i = 1, #users do
    held[users[i]] = tonumber(found[i] or 0)
  end
end

-- Two neighbouring windows make a sliding count (the estimate of the "sliding window counter": the previous window weighs as
-- much as of it still lies within the last rate_ms). The window's number lives in the hash, so a stale hash counts as empty.
local window, seen, seen_before, weight = 0, {}, {}, 0
local limited = not closed and rate_requests > 0
if limited then
  window = math.floor(now / rate_ms)
  weight = 1 - (now % rate_ms) / rate_ms
  local current, previous = rate_keys[window % 2], rate_keys[(window + 1) % 2]
  if tonumber(redis.call('HGET', current, '#') or -1) == window then
    local found = redis.call('HMGET', current, unpack(users))
    for i = 1, #users do
      seen[users[i]] = tonumber(found[i] or 0)
    end
  end
  if tonumber(redis.call('HGET', previous, '#') or -1) == window - 1 then
    local found = redis.call('HMGET', previous, unpack(users))
    for i = 1, #users do
      seen_before[users[i]] = tonumber(found[i] or 0)
    end
  end
end

local function known(record, quantity)
  if record[QUANTITY] ~= quantity then
    return { 'conflict' }
  end
  if record[STATE] == 'R' or record[STATE] == 'P' then
    return { 'replayed', record[STATE], record[DEADLINE] }
  end
  return { 'gone', record[STATE], record[DEADLINE] }
end

local counted = {}
local function over_rate(user)
  local count = (seen[user] or 0)
  if (seen_before[user] or 0) * weight + count + 1 > rate_requests then
    return true
  end
  seen[user] = count + 1
  counted[user] = count + 1
  return false
end

local fresh, lines, accepted = {}, {}, { 'accepted' }
local bought, entry = {}, nil
for i = 1, #orders do
  local id, user, quantity, trace = orders[i][1], orders[i][2], orders[i][3], orders[i][4]
  local record = records[id]
  if record then
    results[i] = known(record, quantity)
  elseif closed then
    results[i] = closed
  elseif limited and over_rate(user) then
    results[i] = { 'rate_limited', '', 0, rate_ms - now % rate_ms }
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
    accepted[2], accepted[3] = 'R', deadline
    results[i] = accepted
  end
end

local broken = broken_stock(stock)
if broken then
  return broken
end

if next(counted) then
  local key = rate_keys[window % 2]
  if tonumber(redis.call('HGET', key, '#') or -1) ~= window then
    redis.call('UNLINK', key)
  end
  local args = { '#', window }
  for user, count in pairs(counted) do
    args[#args + 1] = user
    args[#args + 1] = count
  end
  redis.call('HSET', key, unpack(args))
  redis.call('PEXPIRE', key, rate_ms * 2)
end
if #lines > 0 then
  local buyer_args, deadline_args = {}, {}
  for user, count in pairs(bought) do
    buyer_args[#buyer_args + 1] = user
    buyer_args[#buyer_args + 1] = count
  end
  for i = 1, #lines do
    deadline_args[#deadline_args + 1] = deadline
    deadline_args[#deadline_args + 1] = sale_id .. '|' .. lines[i][1]
  end
  save_records(orders_key, fresh)
  redis.call('HSET', buyers_key, unpack(buyer_args))
  redis.call('ZADD', deadlines_key, unpack(deadline_args))
  save_stock(sale_key, stock)
  entry = add_to_outbox(outbox_key, 'order.reserved.' .. hold_seconds, {
    v = 1, type = 'order.reserved', sale = sale_id, epoch = stock.epoch, at = now, deadline = deadline, orders = lines,
  })
end
return cmsgpack.pack({ now, results, entry })
