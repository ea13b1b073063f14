#!lua flags=allow-oom
--[[
Purpose: Release holds early, because their buyers cancelled them.
KEYS:
  1 sale        hash    definition and counters
  2 orders      hash    order id -> packed record
  3 buyers      hash    user -> units held or bought; '#<user>' -> the buyer's orders that were released
  4 deadlines   zset    <sale>|<order id> by deadline in ms
  5 outbox      stream  one entry for the batch
  6 fence       hash    the fence of the sale's shard
ARGV:
  1 sale_id     the sale's id
  2 cancels     cmsgpack array of {order_id, owner}; 1..256 of them. An order of another buyer than `owner` is unknown; empty for any buyer
  3 clock_ms    empty for Redis TIME
  4 known       the highest seq of the shard that the caller was answered; may be left out
Returns: cmsgpack {now_ms, results, seq}; a result is {result, quantity, deadline_ms}
  result: cancelled replayed refused gone unknown_order
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
local sale_id, cancels, now = ARGV[1], cmsgpack.unpack(ARGV[2]), now_ms(ARGV[3])

local ANSWER = { R = 'cancelled', C = 'replayed', P = 'refused', X = 'gone', T = 'gone', W = 'gone', K = 'gone' }
require_open(keys.fence, ARGV[4])
local stock = load_stock(keys.sale)
local ids = {}
for i = 1, #cancels do
  ids[i] = cancels[i][1]
end
local records = stock and load_records(keys.orders, ids) or {}
local results, released, listed = {}, {}, {}
for i = 1, #ids do
  local id, owner = ids[i], cancels[i][2]
  local record = records[id]
  if not record or (owner ~= '' and record[USER] ~= owner) then
    results[i] = { 'unknown_order', 0, 0 }
  elseif listed[id] then
    results[i] = { 'replayed', record[QUANTITY], record[DEADLINE] }
  else
    results[i] = { ANSWER[record[STATE]], record[QUANTITY], record[DEADLINE] }
    if record[STATE] == 'R' then
      released[#released + 1] = id
      listed[id] = true
    end
  end
end

if #released > 0 then
  local broken = release(keys, sale_id, stock, records, released, 'C', 'order.cancelled', now)
  if broken then
    return broken
  end
end
return cmsgpack.pack({ now, results, seq_of(keys.fence) })
