#!lua flags=allow-oom
--[[
Purpose: Apply payments of several sales, each sale in one atomic step: a hold becomes paid, a late payment follows the sale's policy, anything else becomes a refund that is due.
         A payment of an unknown order is not decided here: it may have paid an order whose sale was removed, and the ledger knows.
         If the sale has a price, a payment of another amount or currency is refunded, and the order stays as it is: a right payment can still pay it.
KEYS:
  1 outbox       stream  one entry for all payments of the call; the caller chooses the outbox
  and then for each sale of ARGV[1], in their order
  +1 sale        hash    definition and counters (may be missing: then every order is unknown)
  +2 orders      hash    order id -> packed record
  +3 buyers      hash    user -> units held or bought
  +4 deadlines   zset    <sale>|<order id> by deadline in ms
  +5 strays      hash    payments for orders that did not exist: they buy nothing later
  +6 fence       hash    the fence of the sale's shard
  +7 shared      stream  the shared outbox of the sale's shard, which has the sale's definition until the broker has confirmed it
ARGV:
  1 payments    cmsgpack array of {sale_ids, counts, payments, confirms}: the sales, each once, how many payments each has, and the payments of all sales,
                one sale after the other, each {order_id, payment_id, kind, amount_minor, currency, traceparent}; kind: succeeded or failed; 1..256 payments;
                confirms: whether the caller answers only after the broker's confirm of the entry, so that the entry also has the replayed payments
  2 clock_ms    empty for Redis TIME
  3 known       cmsgpack array: for each sale the highest seq of its shard that the caller was answered; may be left out
Returns: cmsgpack {now_ms, results, entries, seq}; an entry is {entry_id, routing_key, body}; a result is {result, state, reason}; or a text: what is broken in the sale's data, and then nothing of the sale has changed; or why this payment cannot be decided yet.
  result: paid replayed refund_due undecided noted
  state: R P X C T W K, or empty for an unknown order
  reason: empty, or why a refund is due: late sold_out duplicate cancelled wrong_amount; unknown_order if it is undecided; replayed if that was answered earlier
]]
-- @include lib/clock.lua
-- @include lib/types.lua
-- @include lib/stock.lua
-- @include lib/price.lua
-- @include lib/record.lua
-- @include lib/records.lua
-- @include lib/strays.lua
-- @include lib/fence.lua
-- @include lib/outbox.lua
-- @include lib/sales.lua
local KEYS_BEFORE, KEYS_EACH = 1, 7
local sale_ids, counts, payments, confirms = unpack(cmsgpack.unpack(ARGV[1]))
local results, now = {}, now_ms(ARGV[2])

-- An order remembers its refunded payments, so that a replay of one cannot buy units later. Past this number it accepts no payment.
local REFUNDS_MAX = 16

local stray_counts = {}
local function count_strays(strays_key)
  if not stray_counts[strays_key] then
    stray_counts[strays_key] = tonumber(redis.call('HGET', strays_key, '#') or 0)
  end
  return stray_counts[strays_key]
end

-- Which of these payments are stored as strays, by name.
local function load_strays(strays_key, names)
  local strays = {}
  if count_strays(strays_key) > 0 then
    local times = redis.call('HMGET', strays_key, unpack(names))
    for i = 1, #names do
      strays[names[i]] = times[i]
    end
  end
  return strays
end

local function was_refunded(record, payment_id)
  for i = FIRST_REFUND, #record do
    if record[i] == payment_id then
      return true
    end
  end
  return false
end

local function full(record)
  return #record >= FIRST_REFUND - 1 + REFUNDS_MAX
end

local function mark(change, record, id, position, value)
  record[TRACE] = record[TRACE] or ''
  record[PAYMENT] = record[PAYMENT] or ''
  record[position] = value
  change.records[id] = record
end

local function refund(change, record, id, payment_id, reason)
  if not full(record) then
    mark(change, record, id, math.max(#record + 1, FIRST_REFUND), payment_id)
  end
  return 'refund_due', reason
end

local RETURNED = { T = true, W = true, K = true }

-- Whether the payment is the sale's present price, for each unit of the order.
local function has_price(change, record, payment)
  return not change.price or payment[4] == change.price * record[QUANTITY] and payment[5] == change.currency
end

-- The terms of a sale that only a late payment that may buy again has to know.
local function late_terms(change)
  if not change.terms then
    local f = redis.call('HMGET', change.sale_key, 'max_per_user', 'durability', 'announced', 'unannounced')
    local waits = f[2] == 'confirmed' and f[4] and f[4] ~= '0' and #redis.call('XRANGE', change.shared_key, f[3], f[3]) > 0
    change.terms = { max_per_user = tonumber(f[1] or 0), unannounced = waits and tonumber(f[4]) or 0 }
  end
  return change.terms
end

-- Whether the buyer would have more than the sale allows: the order is over, so its buyer may have others meanwhile.
local function over_limit(change, record)
  local most, user = late_terms(change).max_per_user, record[USER]
  -- Read also without a limit, so that a broken hash or number raises before anything is written.
  local units = assert(tonumber(redis.call('HGET', change.buyers_key, user) or 0), 'the units of a buyer are no number')
  for i = 1, #change.reacquired do
    local other = change.reacquired[i]
    units = units + (other[USER] == user and other[QUANTITY] or 0)
  end
  return most > 0 and units + record[QUANTITY] > most
end

local UNANNOUNCED = 'the broker has not confirmed the definition of the units that this late payment would buy'

-- Returns result and reason, or nil and why there is no result yet; moves the counters in memory.
local function apply(change, record, id, payment)
  local stock, quantity, payment_id = change.stock, record[QUANTITY], payment[2]
  if record[STATE] == 'P' or RETURNED[record[STATE]] then
    return refund(change, record, id, payment_id, 'duplicate')
  elseif record[STATE] == 'C' then
    return refund(change, record, id, payment_id, 'cancelled')
  elseif record[STATE] == 'R' and (full(record) or not has_price(change, record, payment)) then
    -- A hold that can remember no further refund takes no payment: a later price could make a repeat of this one right.
    return refund(change, record, id, payment_id, 'wrong_amount')
  elseif record[STATE] == 'R' then
    stock.reserved, stock.sold = stock.reserved - quantity, stock.sold + quantity
    change.settled[#change.settled + 1] = id
  elseif change.late_payment ~= 'reacquire' or full(record) or over_limit(change, record) then
    return refund(change, record, id, payment_id, 'late')
  elseif not has_price(change, record, payment) then
    return refund(change, record, id, payment_id, 'wrong_amount')
  elseif quantity > stock.available then
    return refund(change, record, id, payment_id, 'sold_out')
  elseif quantity > stock.available - late_terms(change).unannounced then
    -- A rebuild would not have these units: `reserve` does not sell them either.
    return nil, UNANNOUNCED
  else
    stock.available, stock.sold = stock.available - quantity, stock.sold + quantity
    change.reacquired[#change.reacquired + 1] = record
  end
  record[STATE] = 'P'
  mark(change, record, id, PAYMENT, payment_id)
  return 'paid', ''
end

local function note(change, payment, record, result, reason)
  change.lines[#change.lines + 1] = {
    payment[1], payment[2], result, reason, payment[4], payment[5],
    record and record[USER] or '', record and record[QUANTITY] or 0, record and record[DEADLINE] or 0, payment[6],
  }
end

-- Nothing says whether the first entry of a replayed payment reached the broker, so the payment is noted again; the ledger keeps its earlier row.
local function note_again(change, payment, record, result, reason)
  if confirms then
    note(change, payment, record, result, reason)
  end
end

-- Why the payment of an order in this state is refunded, if its refund was decided earlier.
local REFUND_REASON = { R = 'wrong_amount', P = 'duplicate', T = 'duplicate', W = 'duplicate', K = 'duplicate', C = 'cancelled', X = 'late' }

-- Reads and decides the payments from first to last, and writes nothing: returns what is to be written of the sale.
local function decide(keys_at, sale_id, first, last)
  local stock, f = load_stock(KEYS[keys_at + 1], 'late_payment', 'price')
  local ids, names = {}, {}
  for i = first, last do
    ids[#ids + 1] = payments[i][1]
    names[#names + 1] = sale_id .. '|' .. payments[i][1] .. '|' .. payments[i][2]
  end
  local records = stock and load_records(KEYS[keys_at + 2], ids) or {}
  local strays = load_strays(KEYS[keys_at + 5], names)
  local change = {
    stock = stock, late_payment = stock and f[6], sale_key = KEYS[keys_at + 1], buyers_key = KEYS[keys_at + 3], shared_key = KEYS[keys_at + 7],
    records = {}, settled = {}, reacquired = {}, lines = {}, strays = {},
  }
  if stock then
    change.price, change.currency = read_price(f[7])
  end

  for i = first, last do
    local id, payment_id, kind = payments[i][1], payments[i][2], payments[i][3]
    local record, name, result, reason = records[id], names[i - first + 1], nil, ''
    if kind == 'failed' then
      result = 'noted'
      note(change, payments[i], record, 'failed', '')
    elseif record and record[PAYMENT] == payment_id then
      result = 'replayed'
      note_again(change, payments[i], record, 'paid', '')
    elseif strays[name] then
      result, reason = 'undecided', 'replayed'
      note_again(change, payments[i], nil, 'refund_due', 'unknown_order')
    elseif not record then
      result, reason = 'undecided', 'unknown_order'
      note(change, payments[i], nil, 'refund_due', reason)
      strays[name] = true
      change.strays[#change.strays + 1] = name
    elseif was_refunded(record, payment_id) then
      result, reason = 'refund_due', 'replayed'
      note_again(change, payments[i], record, result, REFUND_REASON[record[STATE]])
    else
      result, reason = apply(change, record, id, payments[i])
      if result then
        note(change, payments[i], record, result, reason)
      end
    end
    results[i] = result and { result, record and record[STATE] or '', reason } or reason .. ' (sale ' .. sale_id .. ')'
  end
  local broken = stock and broken_stock(stock)
  if broken then
    error(broken)
  end
  if #change.lines > 0 then
    must_be_stream(KEYS[1])
  end
  if #change.settled > 0 then
    must_be_sorted_set(KEYS[keys_at + 4])
  end
  return change
end

local function save_strays(strays_key, names)
  local count = count_strays(strays_key)
  if #names == 0 or count >= STRAYS_MAX then
    return
  end
  stray_counts[strays_key] = count + #names
  local args = { '#', count + #names }
  for i = 1, #names do
    args[#args + 1] = names[i]
    args[#args + 1] = now
  end
  redis.call('HSET', strays_key, unpack(args))
  redis.call('PEXPIRE', strays_key, STRAYS_MS)
end

-- What sales share is written once for all of them: deadlines by key, messages by routing key.
local over, notes = {}, {}
local function save(keys_at, sale_id, change)
  save_strays(KEYS[keys_at + 5], change.strays)
  save_records(KEYS[keys_at + 2], change.records)
  if #change.settled > 0 then
    local members = over[KEYS[keys_at + 4]] or {}
    over[KEYS[keys_at + 4]] = members
    for i = 1, #change.settled do
      members[#members + 1] = sale_id .. '|' .. change.settled[i]
    end
  end
  for i = 1, #change.reacquired do
    redis.call('HINCRBY', change.buyers_key, change.reacquired[i][USER], change.reacquired[i][QUANTITY])
  end
  if #change.settled > 0 or #change.reacquired > 0 then
    save_stock(KEYS[keys_at + 1], change.stock)
  end
  if #change.lines > 0 then
    local stock = change.stock
    -- Every unit is paid for: the notifier makes an event of it, and nobody else reads it.
    local sold_out = stock and stock.sold > 0 and stock.available == 0 and stock.reserved == 0
    -- Units that were returned and sold again make it another time with the same number of units.
    local restocked = sold_out and tonumber(redis.call('HGET', KEYS[keys_at + 1], 'restocked') or 0) or 0
    add_note(notes, 'payment.recorded', cjson.encode({
      v = 1, type = 'payment.recorded', sale = sale_id, epoch = stock and stock.epoch or 0, at = now,
      payments = change.lines, sold_out = sold_out and stock.sold or nil, restocked = restocked > 0 and restocked or nil,
    }):sub(1, -2))
  end
end

-- The entries go to the outbox of the first sale's shard, so they get positions of that shard.
local known, fence_key = (ARGV[3] or '') ~= '' and cmsgpack.unpack(ARGV[3]), nil
for n = 1, #sale_ids do
  local keys_at = KEYS_BEFORE + (n - 1) * KEYS_EACH
  fence_key = fence_key or KEYS[keys_at + 6]
  require_open(KEYS[keys_at + 6], known and known[n])
end
for_each_sale(sale_ids, counts, KEYS_BEFORE, KEYS_EACH, results, decide, save)
for key, members in pairs(over) do
  redis.call('ZREM', key, unpack(members))
end
local entries = publish_notes(KEYS[1], fence_key, notes, now)
return cmsgpack.pack({ now, results, entries, seq_of(fence_key) })
