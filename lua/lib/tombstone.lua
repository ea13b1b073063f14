-- What remains of a removed sale, in its own key: its owner, its epoch and when it was removed. Without a `total`, no script takes it for a sale.
local TOMBSTONE_MS = 30 * 24 * 3600 * 1000

local function save_tombstone(sale_key, owner, removed_ms, epoch)
  redis.call('HSET', sale_key, 'removed_ms', removed_ms, 'removed_owner', owner, 'removed_epoch', whole(epoch))
  redis.call('PEXPIRE', sale_key, TOMBSTONE_MS)
end

-- The owner of the sale that was removed, or nil.
local function load_tombstone(sale_key)
  return redis.call('HGET', sale_key, 'removed_owner') or nil
end
