#!lua flags=allow-oom
--[[
Purpose: Expire the due holds among the given orders of one sale, and release their units. An order that is not due or not held does not change, however often the call is repeated.
KEYS:
  1 sale        hash    definition and counters
  2 orders      hash    order id -> packed record
  3 buyers      hash    user -> units held or bought; '#<user>' -> the buyer's orders that were released
  4 deadlines   zset    <sale>|<order id> by deadline in ms
  5 outbox      stream  one entry for the batch
  6 fence       hash    the fence of the sale's shard
ARGV:
  1 sale_id     the sale's id
  2 order_ids   cmsgpack array of order ids; 1..512 of them
  3 clock_ms    empty for Redis TIME
  4 known       the highest seq of the shard that the caller was answered; may be left out
Returns: cmsgpack {now_ms, results, seq}; a result is {result, quantity, deadline_ms, traceparent}, without the last one if the order is not traced
  result: expired not_due ignored
]]
-- @include lib/clock.lua
-- @include lib/types.lua
-- @include lib/stock.lua
-- @include lib/terms.lua
-- @include lib/record.lua
-- @include lib/records.lua
-- @include lib/released.lua
-- @include lib/fence.lua
-- @include lib/outbox.lua
-- @include lib/release.lua
local keys = { sale = KEYS[1], orders = KEYS[2], buyers = KEYS[3], deadlines = KEYS[4], outbox = KEYS[5], fence = KEYS[6] }
local sale_id, ids, now = ARGV[1], cmsgpack.unpack(ARGV[2]), now_ms(ARGV[3])

require_open(keys.fence, ARGV[4])
local stock = load_stock(keys.sale)
local records = stock and load_records(keys.orders, ids) or {}
local results, due, stale, listed = {}, {}, {}, {}
for i = 1, #ids do
  local id = ids[i]
  local record = records[id]
  if not record or record[STATE] ~= 'R' or listed[id] then
    results[i] = { 'ignored', 0, 0 }
    if not listed[id] then
      stale[#stale + 1] = sale_id .. '|' .. id
    end
  elseif record[DEADLINE] > now then
    results[i] = { 'not_due', record[QUANTITY], record[DEADLINE] }
  else
    results[i] = { 'expired', record[QUANTITY], record[DEADLINE], record[TRACE] }
    due[#due + 1] = id
    listed[id] = true
  end
end

if #due > 0 then
  local broken = release(keys, sale_id, stock, records, due, 'X', 'order.expired', now)
  if broken then
    return broken
  end
end
if #stale > 0 then
  -- The sweeper would read a deadline without a hold for ever.
  redis.call('ZREM', keys.deadlines, unpack(stale))
end
return cmsgpack.pack({ now, results, seq_of(keys.fence) })
