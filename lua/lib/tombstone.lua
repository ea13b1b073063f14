-- What remains of a removed sale, in its own key: its owner, its epoch, its generation and when it was removed. Without a `total`, no script
-- takes it for a sale. The generations of a next sale of the name go on from there: a condition on the removed one must not hold for it.
local TOMBSTONE_MS = 30 * 24 * 3600 * 1000

local function save_tombstone(sale_key, owner, removed_ms, epoch, generation)
  redis.call('HSET', sale_key, 'removed_ms', removed_ms, 'removed_owner', owner, 'removed_epoch', whole(epoch), 'removed_generation', whole(generation))
  redis.call('PEXPIRE', sale_key, TOMBSTONE_MS)
end

-- The owner of the sale that was removed, or nil.
local function load_tombstone(sale_key)
  return redis.call('HGET', sale_key, 'removed_owner') or nil
end
