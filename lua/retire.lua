#!lua flags=allow-oom
--[[
Purpose: End a sale in two steps: after `close` it accepts no new orders, and its holds are paid or expire; `remove` deletes its keys once no hold is left.
         A removed sale leaves a tombstone in its hash for 30 days: if its owner repeats `close` or `remove`, the answer is `removed`.
         `prune` removes a sale that finished long ago: it was closed or ended, no hold is live, and nobody else owns it.
         `release` only gives up the ownership: whoever defines the sale next owns it, but after a resource only a resource of its namespace, or an administrator.
KEYS:
  1 sale        hash    definition and counters
  2 orders      hash    order id -> packed record
  3 buyers      hash    user -> units held or bought
  4 rate_even   hash    rate window
  5 rate_odd    hash    rate window
  6 sales       set     the sales of this shard
  7 outbox      stream  one entry when the sale is closed, removed or released
  8 fence       hash    the fence of the sale's shard
ARGV:
  1 sale_id     the sale's id
  2 action      close, remove, prune or release
  3 owner       the caller, who must own the sale; empty for an administrator, who acts on a sale without an owner; `prune` also removes such a sale
  4 clock_ms    empty for Redis TIME
  5 retention   ms from a sale's end until `prune` removes it; only `prune` reads it
  6 known       the highest seq of the shard that the caller was answered; may be left out
  7 by          who asks for the change, for the ledger; may be left out
Returns: cmsgpack {now_ms, status, reserved, seq}
  status: closed removed released unknown_sale not_owner not_closed holds_live kept
]]
-- @include lib/clock.lua
-- @include lib/types.lua
-- @include lib/stock.lua
-- @include lib/terms.lua
-- @include lib/owner.lua
-- @include lib/tombstone.lua
-- @include lib/fence.lua
-- @include lib/outbox.lua
-- @include lib/definition.lua
local sale_key, sales_key, outbox_key, fence_key = KEYS[1], KEYS[6], KEYS[7], KEYS[8]
local sale_id, action, owner, now = ARGV[1], ARGV[2], ARGV[3], now_ms(ARGV[4])
local by = ARGV[7] ~= '' and ARGV[7] or nil

local function answer(status, reserved)
  return cmsgpack.pack({ now, status, reserved, seq_of(fence_key) })
end

require_open(fence_key, ARGV[6])
local stock = load_stock(sale_key)
if not stock then
  local removed = action ~= 'release' and load_tombstone(sale_key) == owner
  return answer(removed and 'removed' or 'unknown_sale', 0)
end
local f = redis.call('HMGET', sale_key, 'owner', 'state', 'closed_ms', 'ends_ms', 'generation')
if f[1] ~= owner and not ((action == 'prune' or owner == '') and is_released(f[1])) then
  return answer('not_owner', stock.reserved)
end

must_be_stream(outbox_key)
must_be_set(sales_key)

local function announce(state)
  add_to_outbox(outbox_key, fence_key, 'sale.retired', {
    v = 1, type = 'sale.retired', sale = sale_id, epoch = stock.epoch, at = now, state = state,
    total = stock.total, available = stock.available, reserved = stock.reserved, sold = stock.sold, by = by,
  }, now)
end

-- When the sale stopped accepting orders; nil while it may accept more. A sale that an older release closed has no such time: it counts from now.
local function finished_ms()
  local closed, ends = tonumber(f[3] or nil), tonumber(f[4])
  if f[2] == 'closed' and not closed then
    redis.call('HSET', sale_key, 'closed_ms', now)
    closed = now
  end
  return closed or ends > 0 and ends or nil
end

local function remove()
  announce('removed')
  redis.call('UNLINK', sale_key, KEYS[2], KEYS[3], KEYS[4], KEYS[5])
  save_tombstone(sale_key, owner, now, stock.epoch, tonumber(f[5] or 0))
  redis.call('SREM', sales_key, sale_id)
  return answer('removed', 0)
end

if action == 'release' then
  -- Its time rises as in `define`: the ledger keeps the later of two definitions of one generation.
  local changed_ms = math.max(now, tonumber(redis.call('HGET', sale_key, 'changed_ms') or 0) + 1)
  redis.call('HSET', sale_key, 'owner', released_by(owner), 'changed_ms', whole(changed_ms))
  add_definition(outbox_key, fence_key, sale_key, sale_id, changed_ms, now, by)
  return answer('released', stock.reserved)
elseif action == 'close' then
  if f[2] ~= 'closed' then
    redis.call('HSET', sale_key, 'state', 'closed', 'closed_ms', now)
    save_terms(sale_key)
    announce('closed')
  end
  return answer('closed', stock.reserved)
elseif action == 'prune' then
  local finished = finished_ms()
  local due = finished and now - finished > tonumber(ARGV[5]) and stock.reserved == 0
  return due and remove() or answer('kept', stock.reserved)
elseif f[2] ~= 'closed' then
  return answer('not_closed', stock.reserved)
elseif stock.reserved > 0 then
  return answer('holds_live', stock.reserved)
end
return remove()
