-- A sale's definition as callers and the ledger see it.

-- Fields that nobody else needs: the packed terms, and how far the definition is published.
local INTERNAL = { terms = true, announced = true, unannounced = true, requests = true }

-- The sale without its internal fields; empty for a tombstone.
local function public_fields(sale_key)
  local flat, words = redis.call('HGETALL', sale_key), {}
  if not redis.call('HGET', sale_key, 'total') then
    return words
  end
  for i = 1, #flat, 2 do
    if not INTERNAL[flat[i]] then
      words[#words + 1] = flat[i]
      words[#words + 1] = flat[i + 1]
    end
  end
  return words
end

-- Returns the entry's id. `by` is who asked for the change, or nil. `changed_ms` is the clock, but always rises: if two definitions have the same generation, the ledger keeps the one with the later `at`.
local function add_definition(outbox_key, fence_key, sale_key, sale_id, changed_ms, now, by)
  local message = { v = 1, type = 'sale.defined', sale = sale_id, at = changed_ms, by = by }
  local flat = public_fields(sale_key)
  for i = 1, #flat, 2 do
    message[flat[i]] = tonumber(flat[i + 1]) or flat[i + 1]
  end
  -- The ledger keeps the stock that was defined (docs/decisions/0030).
  message.total = message.total - (message.oversold or 0)
  -- Owners are names, even when they look like numbers.
  message.owner = redis.call('HGET', sale_key, 'owner')
  -- For a rebuild: a repeat of a change that the ledger has must not be made again.
  message.requests = redis.call('HGET', sale_key, 'requests') or nil
  return add_to_outbox(outbox_key, fence_key, 'sale.defined', message, now)
end
