-- An order's packed record: {state, user, quantity, deadline_ms, traceparent, payment_id, refunded_payment_id...};
-- trailing fields are left out while they are empty. States: R reserved, P paid, X expired, C cancelled.
local STATE, USER, QUANTITY, DEADLINE, TRACE, PAYMENT, FIRST_REFUND = 1, 2, 3, 4, 5, 6, 7

local function load_records(orders_key, ids)
  local found, records = redis.call('HMGET', orders_key, unpack(ids)), {}
  for i = 1, #ids do
    if found[i] then
      records[ids[i]] = cmsgpack.unpack(found[i])
    end
  end
  return records
end

local function save_records(orders_key, records)
  local args = {}
  for id, record in pairs(records) do
    args[#args + 1] = id
    args[#args + 1] = cmsgpack.pack(record)
  end
  if #args > 0 then
    redis.call('HSET', orders_key, unpack(args))
  end
end

-- Units a buyer no longer holds; a buyer with none left leaves the hash.
local function forget_units(buyers_key, user, quantity)
  if redis.call('HINCRBY', buyers_key, user, -quantity) <= 0 then
    redis.call('HDEL', buyers_key, user)
  end
end
