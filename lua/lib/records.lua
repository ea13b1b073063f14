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

-- What the buyers of these orders hold, by user.
local function load_units(buyers_key, records, ids)
  local users, units = {}, {}
  for i = 1, #ids do
    users[i] = records[ids[i]][USER]
  end
  local found = redis.call('HMGET', buyers_key, unpack(users))
  for i = 1, #users do
    units[users[i]] = tonumber(found[i] or 0)
  end
  return units
end

-- A buyer with none left leaves the hash.
local function save_units(buyers_key, units)
  local left, gone = {}, {}
  for user, count in pairs(units) do
    if count > 0 then
      left[#left + 1] = user
      left[#left + 1] = whole(count)
    else
      gone[#gone + 1] = user
    end
  end
  if #left > 0 then
    redis.call('HSET', buyers_key, unpack(left))
  end
  if #gone > 0 then
    redis.call('HDEL', buyers_key, unpack(gone))
  end
end
