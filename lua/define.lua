#!lua flags=allow-oom
--[[
Purpose: Create a sale or change it, fenced by owner and generation, or only if its generation is still what the caller has read. A changed total moves `available` by the difference; live holds are never touched.
         Orders without a sale are the rest of a lost sale: they are never deleted, and no sale of that name is created.
KEYS:
  1 sale        hash    definition and counters
  2 orders      hash    order id -> packed record
  3 buyers      hash    user -> units held or bought
  4 rate_even   hash    rate window
  5 rate_odd    hash    rate window
  6 sales       set     the sales of this shard
  7 outbox      stream  one entry when something changed
  8 fence       hash    the fence of the sale's shard
ARGV:
  1 sale_id     the sale's id
  2 definition  cmsgpack map: owner, generation (0: the next one), and any of total, starts_ms, ends_ms, max_per_user, hold_seconds, rate_requests, rate_seconds,
                max_released, late_payment (refund, reacquire), price (such as `1999 EUR` for one unit; empty for none), state (open, paused), durability (fsync, confirmed); what is left out stays as it is, or takes its default in a new sale;
                add (units added to the stock, or taken from it, instead of total), if_generation (the generation that the sale must have), if_exists (true: the sale is not created),
                request_id (a change with a request id is made once, also the one that creates the sale: a repeat gets `replayed`),
                default_hold_seconds, for a caller whose installation may have no window of 300 s, and by: who asks for the change, for the ledger
  3 clock_ms    empty for Redis TIME
  4 known       the highest seq of the shard that the caller was answered; may be left out
Returns: cmsgpack {now_ms, status, sale, seq}; sale is the flat field/value list of the hash after the call, without the packed terms; empty when there is no such sale
  status: created changed unchanged replayed not_owner generation_moved unknown_sale above_limit stale_generation below_committed closed total_missing ends_before_start
]]
-- @include lib/clock.lua
-- @include lib/memory.lua
-- @include lib/types.lua
-- @include lib/stock.lua
-- @include lib/terms.lua
-- @include lib/owner.lua
-- @include lib/fence.lua
-- @include lib/outbox.lua
-- @include lib/definition.lua
local sale_key, sales_key, outbox_key, fence_key = KEYS[1], KEYS[6], KEYS[7], KEYS[8]
local sale_id, wanted, now = ARGV[1], cmsgpack.unpack(ARGV[2]), now_ms(ARGV[3])

local DEFAULTS = {
  starts_ms = 0, ends_ms = 0, max_per_user = 0, hold_seconds = 300, rate_requests = 0, rate_seconds = 1, max_released = MAX_RELEASED,
  late_payment = 'refund', price = '', state = 'open', durability = 'fsync',
}

local function answer(status)
  return cmsgpack.pack({ now, status, public_fields(sale_key), seq_of(fence_key) })
end

-- The ids of the last changes that had one, oldest first.
local REQUESTS_KEPT = 16
-- As in POST /admin/stock and in the FlashSale's schema.
local STOCK_MAX = 1000000000
local function requests_of(text)
  local ids = {}
  for id in (text or ''):gmatch('%S+') do
    ids[#ids + 1] = id
  end
  return ids
end

local function was_made(ids)
  for i = 1, #ids do
    if ids[i] == wanted.request_id then
      return true
    end
  end
  return false
end

-- `added` units wait for this entry's confirm, together with those of an earlier definition that still waits: a `confirmed` sale sells them then.
local function announce(status, changed_ms, added)
  local before = redis.call('HMGET', sale_key, 'announced', 'unannounced')
  local waits = before[1] and #redis.call('XRANGE', outbox_key, before[1], before[1]) > 0
  local id = add_definition(outbox_key, fence_key, sale_key, sale_id, changed_ms, now, wanted.by)
  redis.call('HSET', sale_key, 'announced', id, 'unannounced', whole(math.max(0, (waits and tonumber(before[2]) or 0) + added)))
  return answer(status)
end

-- Whether the sale would end before it starts. A call may set only one of the two times: then it is compared with the stored other one.
local function crossed(starts_ms, ends_ms)
  if not (wanted.starts_ms or wanted.ends_ms) then
    return false
  end
  local starts, ends = wanted.starts_ms or tonumber(starts_ms), wanted.ends_ms or tonumber(ends_ms)
  return ends ~= 0 and ends <= starts
end

require_open(fence_key, ARGV[4])
must_be_stream(outbox_key)
must_be_set(sales_key)
local stock = load_stock(sale_key)
if not stock then
  if wanted.add or wanted.if_generation or wanted.if_exists then
    return answer('unknown_sale')
  elseif not wanted.total then
    return answer('total_missing')
  elseif crossed(DEFAULTS.starts_ms, DEFAULTS.ends_ms) then
    return answer('ends_before_start')
  elseif redis.call('HLEN', KEYS[2]) + redis.call('HLEN', KEYS[3]) > 0 then
    -- Records have no epoch: an old hold that expired later would release its units into this sale.
    return redis.error_reply('INVARIANT the sale is missing, but ' .. KEYS[2] .. ' or ' .. KEYS[3] .. ' has its orders: close the fence of its shard, and the keeper restores the sale')
  elseif memory_is_full() then
    -- A full server still accepts changes, for example to pause a sale. A new sale can wait, as orders do.
    return redis.error_reply("OOM the server is past its 'maxmemory': no sale is created until memory is free")
  end
  -- Higher than the epoch of an earlier sale of this name, even if the clock was set back: in the ledger, the highest epoch is the present sale.
  local removed = redis.call('HMGET', sale_key, 'removed_epoch', 'removed_generation')
  local epoch, base = math.max(now, tonumber(removed[1] or -1) + 1), tonumber(removed[2] or 0)
  local args = {
    'owner', wanted.owner, 'generation', whole(base + math.max(wanted.generation, 1)), 'epoch', whole(epoch), 'changed_ms', now,
    'total', wanted.total, 'available', wanted.total, 'reserved', 0, 'sold', 0,
  }
  if base > 0 then
    -- As after a previous owner: whoever has read the removed sale changes this one under no condition.
    args[#args + 1] = 'base'
    args[#args + 1] = whole(base)
  end
  DEFAULTS.hold_seconds = wanted.default_hold_seconds or DEFAULTS.hold_seconds
  for field, default in pairs(DEFAULTS) do
    args[#args + 1] = field
    args[#args + 1] = wanted[field] or default
  end
  if wanted.request_id then
    args[#args + 1] = 'requests'
    args[#args + 1] = wanted.request_id
  end
  -- The tombstone of an earlier sale, and what it counted.
  redis.call('UNLINK', sale_key, KEYS[4], KEYS[5])
  redis.call('HSET', sale_key, unpack(args))
  save_terms(sale_key)
  redis.call('SADD', sales_key, sale_id)
  return announce('created', now, tonumber(wanted.total))
end

local f = redis.call('HMGET', sale_key, 'owner', 'generation', 'state', 'base', 'starts_ms', 'ends_ms', 'changed_ms', 'requests', 'oversold')
local owner, generation, state, oversold = f[1], tonumber(f[2]), f[3], tonumber(f[9] or 0)
local released = is_released(owner)
-- The generations of a new owner begin at 1, but in the ledger they must rise: they are added to the last generation of the previous owner.
local base = released and generation or tonumber(f[4] or 0)
local next_generation = wanted.generation == 0 and 0 or base + wanted.generation
if not (released and may_take(owner, wanted.owner)) and owner ~= wanted.owner then
  return answer('not_owner')
elseif wanted.request_id and was_made(requests_of(f[8])) then
  return answer('replayed')
elseif wanted.if_generation and wanted.if_generation ~= generation then
  return answer('generation_moved')
elseif next_generation ~= 0 and next_generation < generation then
  return answer('stale_generation')
elseif state == 'closed' then
  return answer('closed')
elseif crossed(f[5], f[6]) then
  return answer('ends_before_start')
end

local args, added = {}, 0
-- A difference of 0 leaves the stock as it is, also of a sale that lost data oversold: it can still be paused.
if wanted.add and wanted.add ~= 0 then
  -- What lost data oversold is no part of the stock that was defined.
  wanted.total = stock.total - oversold + wanted.add
  if wanted.total < 0 then
    return answer('below_committed')
  elseif wanted.total > STOCK_MAX then
    return answer('above_limit')
  end
end
if wanted.total and wanted.total ~= stock.total then
  if wanted.total < stock.reserved + stock.sold then
    return answer('below_committed')
  end
  added = wanted.total - stock.total
  stock.available, stock.total = stock.available + added, wanted.total
  local broken = broken_stock(stock)
  if broken then
    return broken
  end
  args = { 'total', stock.total, 'available', stock.available }
end
if wanted.total and oversold > 0 then
  -- The owner has the units that lost data sold twice.
  args[#args + 1] = 'oversold'
  args[#args + 1] = 0
end
for field in pairs(DEFAULTS) do
  if wanted[field] and tostring(wanted[field]) ~= redis.call('HGET', sale_key, field) then
    args[#args + 1] = field
    args[#args + 1] = wanted[field]
  end
end
if wanted.max_released then
  -- A buyer may already be past a lowered limit, and no call checks all buyers: so `reserve` has to check from now on.
  local before = redis.call('HGET', sale_key, 'max_released')
  if before ~= tostring(wanted.max_released) then
    args[#args + 1] = 'limits_released'
    args[#args + 1] = 1
  end
end
if released then
  for _, word in ipairs({ 'owner', wanted.owner, 'base', base }) do
    args[#args + 1] = word
  end
end
if next_generation == 0 then
  next_generation = #args > 0 and generation + 1 or generation
end
-- Noted even if nothing changes: a repeat must not undo what somebody else changes meanwhile.
local requests
if wanted.request_id then
  local ids = requests_of(f[8])
  ids[#ids + 1] = wanted.request_id
  requests = table.concat(ids, ' ', math.max(1, #ids - REQUESTS_KEPT + 1))
end
if #args == 0 and next_generation == generation then
  if requests then
    redis.call('HSET', sale_key, 'requests', requests)
  end
  -- The fields may have been written by hand, or by a release without terms: from now on orders are decided by them.
  save_terms(sale_key)
  return answer('unchanged')
end
-- A sale that an older release defined lacks field 7.
local changed_ms = math.max(now, tonumber(f[7] or 0) + 1)
for _, word in ipairs({ 'generation', next_generation, 'changed_ms', whole(changed_ms) }) do
  args[#args + 1] = word
end
if requests then
  args[#args + 1] = 'requests'
  args[#args + 1] = requests
end
redis.call('HSET', sale_key, unpack(args))
save_terms(sale_key)
return announce('changed', changed_ms, added)
