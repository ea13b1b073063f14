-- The records of the orders of a call, and what their buyers hold (lib/record.lua has the record's fields).
local function load_records(orders_key, ids)
  local packed, records = redis.call('HMGET', orders_key, unpack(ids)), {}
  for i = 1, #ids do
    if packed[i] then
      records[ids[i]] = cmsgpack.unpack(packed[i])
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
  local counts = redis.call('HMGET', buyers_key, unpack(users))
  for i = 1, #users do
    units[users[i]] = tonumber(counts[i] or 0)
  end
  return units
end

-- A buyer without units is deleted from the hash.
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
