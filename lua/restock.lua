#!lua flags=allow-oom
--[[
Purpose: Put the units of returned orders on sale again, once the broker has confirmed their return: sold earlier, a lost Redis could have sold them twice.
         It writes no entry, because the return's own says already that the units are for sale.
KEYS:
  1 sale        hash    definition and counters
  2 orders      hash    order id -> packed record
  3 fence       hash    the fence of the sale's shard
ARGV:
  1 sale_id     the sale's id
  2 order_ids   cmsgpack array of order ids; 1..256 of them
  3 clock_ms    empty for Redis TIME
  4 known       the highest seq of the shard that the caller was answered; may be left out
Returns: cmsgpack {now_ms, status, restocked, seq}; restocked is how many units are for sale again by this call
  status: restocked
]]
-- @include lib/clock.lua
-- @include lib/stock.lua
-- @include lib/record.lua
-- @include lib/records.lua
-- @include lib/fence.lua
local sale_key, orders_key, fence_key = KEYS[1], KEYS[2], KEYS[3]
local sale_id, ids, now = ARGV[1], cmsgpack.unpack(ARGV[2]), now_ms(ARGV[3])

require_open(fence_key, ARGV[4])
local stock, f = load_stock(sale_key, 'oversold', 'restocked')
local records = stock and load_records(orders_key, ids) or {}
local changed, units = {}, 0
for i = 1, #ids do
  local record = records[ids[i]]
  if record and record[STATE] == 'W' then
    record[STATE] = 'T'
    units, changed[ids[i]] = units + record[QUANTITY], record
  end
end
if units > 0 then
  -- Units of a sale that lost data oversold are not for sale: they cover what was sold beyond the stock (docs/decisions/0030).
  local oversold, before = tonumber(f[6] or 0), tonumber(f[7] or 0)
  local covered = math.min(oversold, units)
  stock.total, stock.sold, stock.available = stock.total - covered, stock.sold - units, stock.available + units - covered
  local broken = broken_stock(stock)
  if broken then
    return redis.error_reply(broken.err:gsub('^%-', '') .. ' (sale ' .. sale_id .. ')')
  end
  redis.call('HSET', sale_key, 'restocked', whole(before + units), 'total', whole(stock.total))
  if covered > 0 then
    redis.call('HSET', sale_key, 'oversold', whole(oversold - covered))
  end
  save_records(orders_key, changed)
  save_stock(sale_key, stock)
end
return cmsgpack.pack({ now, 'restocked', units, seq_of(fence_key) })
