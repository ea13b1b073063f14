#!lua
--[[
Purpose: Apply a batch of payments of one sale: a hold becomes paid, a late payment follows the sale's policy, anything else becomes a refund that is due.
KEYS:
  1 sale        hash    definition and counters (may be missing: then every order is unknown)
  2 orders      hash    order id -> packed record
  3 buyers      hash    user -> units held or bought
  4 deadlines   zset    <sale>|<order id> by deadline in ms
  5 outbox      stream  one entry for the batch; the caller says which outbox
  6 strays      hash    payments for orders that nobody knew, which are going back
ARGV:
  1 sale_id     the sale's id
  2 payments    cmsgpack array of {order_id, payment_id, kind, amount_minor, currency, traceparent}; kind: succeeded or failed; 1..256 of them
  3 clock_ms    empty for Redis TIME
Returns: cmsgpack {now_ms, results, entry}; entry is {entry_id, routing_key, body} of the outbox, missing when none was added; a result is {result, state, reason}
  result: paid replayed refund_due noted
  state: R P X C, or empty for an unknown order
  reason: empty, or why a refund is due: late sold_out duplicate cancelled unknown_order
]]
-- @include lib/clock.lua
-- @include lib/stock.lua
-- @include lib/records.lua
-- @include lib/outbox.lua
local sale_key, orders_key, buyers_key, deadlines_key, outbox_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local strays_key = KEYS[6]
local sale_id, payments, now = ARGV[1], cmsgpack.unpack(ARGV[2]), now_ms(ARGV[3])

-- An order remembers the payments it sent back, so that a replay of one cannot buy units later. Past this many it takes no payment at all.
local REFUNDS_MAX = 16
-- A payment whose order nobody knew is remembered by itself, for its order may be made afterwards: an id is a function of its request.
-- So many and so long in a shard; past that the ledger alone keeps a payment from being both kept and sent back. Field '#' counts them.
local STRAYS_MAX, STRAYS_MS = 100000, 7 * 24 * 3600 * 1000

local stock = load_stock(sale_key)
local late_payment = stock and redis.call('HGET', sale_key, 'late_payment')
local ids = {}
for i = 1, #payments do
  ids[i] = payments[i][1]
end
local records = stock and load_records(orders_key, ids) or {}

local changed, settled, reacquired, lines = {}, {}, {}, {}
local strays, new_strays, stray_count = {}, {}, tonumber(redis.call('HGET', strays_key, '#') or 0)

local function stray_of(payment)
  return sale_id .. '|' .. payment[1] .. '|' .. payment[2]
end

if stray_count > 0 then
  local names = {}
  for i = 1, #payments do
    names[i] = stray_of(payments[i])
  end
  local found = redis.call('HMGET', strays_key, unpack(names))
  for i = 1, #names do
    strays[names[i]] = found[i]
  end
end

local function was_refunded(record, payment_id)
  for i = FIRST_REFUND, #record do
    if record[i] == payment_id then
      return true
    end
  end
  return false
end

local function mark(record, id, position, value)
  record[TRACE] = record[TRACE] or ''
  record[PAYMENT] = record[PAYMENT] or ''
  record[position] = value
  changed[id] = record
end

local function refund(record, id, payment_id, reason)
  if #record < FIRST_REFUND - 1 + REFUNDS_MAX then
    mark(record, id, math.max(#record + 1, FIRST_REFUND), payment_id)
  end
  return 'refund_due', reason
end

local function full(record)
  return #record >= FIRST_REFUND - 1 + REFUNDS_MAX
end

-- Returns result and reason; moves the counters in memory.
local function apply(record, id, payment_id)
  local quantity = record[QUANTITY]
  if record[STATE] == 'P' then
    return refund(record, id, payment_id, 'duplicate')
  elseif record[STATE] == 'C' then
    return refund(record, id, payment_id, 'cancelled')
  elseif record[STATE] == 'R' then
    stock.reserved, stock.sold = stock.reserved - quantity, stock.sold + quantity
    settled[#settled + 1] = sale_id .. '|' .. id
  elseif late_payment ~= 'reacquire' or full(record) then
    return refund(record, id, payment_id, 'late')
  elseif quantity > stock.available then
    return refund(record, id, payment_id, 'sold_out')
  else
    stock.available, stock.sold = stock.available - quantity, stock.sold + quantity
    reacquired[#reacquired + 1] = record
  end
  record[STATE] = 'P'
  mark(record, id, PAYMENT, payment_id)
  return 'paid', ''
end

local function note(payment, record, result, reason)
  lines[#lines + 1] = {
    payment[1], payment[2], result, reason, payment[4], payment[5],
    record and record[USER] or '', record and record[QUANTITY] or 0, record and record[DEADLINE] or 0, payment[6],
  }
end

local results = {}
for i = 1, #payments do
  local id, payment_id, kind = payments[i][1], payments[i][2], payments[i][3]
  local record, result, reason = records[id], nil, ''
  if kind == 'failed' then
    result = 'noted'
    note(payments[i], record, 'failed', '')
  elseif record and record[PAYMENT] == payment_id then
    result = 'replayed'
  elseif strays[stray_of(payments[i])] then
    result, reason = 'refund_due', 'replayed'
  elseif not record then
    result, reason = 'refund_due', 'unknown_order'
    note(payments[i], nil, result, reason)
    strays[stray_of(payments[i])] = true
    new_strays[#new_strays + 1] = stray_of(payments[i])
  elseif was_refunded(record, payment_id) then
    result, reason = 'refund_due', 'replayed'
  else
    result, reason = apply(record, id, payment_id)
    note(payments[i], record, result, reason)
  end
  results[i] = { result, record and record[STATE] or '', reason }
end

if stock then
  local broken = broken_stock(stock)
  if broken then
    return broken
  end
end
if #new_strays > 0 and stray_count < STRAYS_MAX then
  local args = { '#', stray_count + #new_strays }
  for i = 1, #new_strays do
    args[#args + 1] = new_strays[i]
    args[#args + 1] = now
  end
  redis.call('HSET', strays_key, unpack(args))
  redis.call('PEXPIRE', strays_key, STRAYS_MS)
end
save_records(orders_key, changed)
if #settled > 0 then
  redis.call('ZREM', deadlines_key, unpack(settled))
end
for i = 1, #reacquired do
  redis.call('HINCRBY', buyers_key, reacquired[i][USER], reacquired[i][QUANTITY])
end
if #settled > 0 or #reacquired > 0 then
  save_stock(sale_key, stock)
end
local entry
if #lines > 0 then
  entry = add_to_outbox(outbox_key, 'payment.recorded', {
    v = 1, type = 'payment.recorded', sale = sale_id, epoch = stock and stock.epoch or 0, at = now, payments = lines,
  })
end
return cmsgpack.pack({ now, results, entry })
