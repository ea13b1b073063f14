#!lua flags=allow-oom
--[[
Purpose: Take paid orders back, which buyers returned: their refunds are due, and the buyers may buy the units again. Units for sale again wait for `restock`.
         An order is returned once: a repeat gets the first answer, whatever it asks.
KEYS:
  1 sale        hash    definition and counters
  2 orders      hash    order id -> packed record
  3 buyers      hash    user -> units held or bought
  4 outbox      stream  one entry for the batch; the caller chooses the outbox
  5 fence       hash    the fence of the sale's shard
ARGV:
  1 sale_id     the sale's id
  2 orders      cmsgpack array of {order_id, restock, by}; 1..256 of them; by, who asks for it, for the ledger, may be left out
  3 confirms    1 if the caller answers only after the broker's confirm of the entry, so that the entry also has the replayed orders; else empty
  4 clock_ms    empty for Redis TIME
  5 known       the highest seq of the shard that the caller was answered; may be left out
Returns: cmsgpack {now_ms, results, entries, seq}; an entry is {entry_id, routing_key, body}; a result is {result, state, quantity, deadline_ms, payment_id}
  result: returned replayed refused unknown_order
  state: R P X C T W K, or empty for an unknown order
]]
-- @include lib/clock.lua
-- @include lib/types.lua
-- @include lib/stock.lua
-- @include lib/record.lua
-- @include lib/records.lua
-- @include lib/fence.lua
-- @include lib/outbox.lua
local sale_key, orders_key, buyers_key, outbox_key, fence_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local sale_id, wanted, confirms, now = ARGV[1], cmsgpack.unpack(ARGV[2]), ARGV[3] == '1', now_ms(ARGV[4])

-- The routing key of payments: a broker that an older release set up has no other binding for this message, and would confirm it all the same.
local ROUTING_KEY = 'payment.recorded'
local ANSWER = { R = 'refused', X = 'refused', C = 'refused', P = 'returned', T = 'replayed', W = 'replayed', K = 'replayed' }

local function line_of(id, record, by)
  return { id, record[USER], record[QUANTITY], record[DEADLINE], record[PAYMENT], record[STATE] ~= 'K', record[TRACE], by }
end

require_open(fence_key, ARGV[5])
local stock, f = load_stock(sale_key, 'returned')
local ids = {}
for i = 1, #wanted do
  ids[i] = wanted[i][1]
end
local records = stock and load_records(orders_key, ids) or {}
local results, returned, changed, lines, gone = {}, {}, {}, {}, stock and tonumber(f[6] or 0)
for i = 1, #ids do
  local record = records[ids[i]]
  if not record then
    results[i] = { 'unknown_order', '', 0, 0, '' }
  else
    local result = ANSWER[record[STATE]]
    if result == 'returned' then
      record[STATE] = wanted[i][2] and 'W' or 'K'
      gone = gone + record[QUANTITY]
      returned[#returned + 1], changed[ids[i]] = ids[i], record
    end
    if result == 'returned' or result == 'replayed' and confirms and record[STATE] ~= 'T' then
      -- Nothing says whether the first entry of a replayed return reached the broker, so it is noted again. Units for sale again are proof that it did.
      lines[#lines + 1] = line_of(ids[i], record, wanted[i][3])
    end
    results[i] = { result, record[STATE], record[QUANTITY], record[DEADLINE], record[PAYMENT] or '' }
  end
end

local broken = stock and broken_stock(stock)
if broken then
  return broken
end
if #lines > 0 then
  must_be_stream(outbox_key)
end
if #returned > 0 then
  local units = load_units(buyers_key, records, returned)
  for i = 1, #returned do
    local record = records[returned[i]]
    units[record[USER]] = units[record[USER]] - record[QUANTITY]
  end
  redis.call('HSET', sale_key, 'returned', whole(gone))
  save_records(orders_key, changed)
  save_units(buyers_key, units)
end
local entries = {}
if #lines > 0 then
  local message = { v = 1, type = 'order.returned', sale = sale_id, epoch = stock.epoch, at = now, orders = lines }
  local id, body = add_to_outbox(outbox_key, fence_key, ROUTING_KEY, message, now)
  entries[1] = { id, ROUTING_KEY, body }
end
return cmsgpack.pack({ now, results, entries, seq_of(fence_key) })
