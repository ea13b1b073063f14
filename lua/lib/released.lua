-- Orders of each buyer that expired or were cancelled, counted among the buyers in the field '#<user>': no user id begins with '#'.

-- The counts after the orders `ids` are released, by field.
local function load_released(buyers_key, records, ids)
  local fields, counts = {}, {}
  for i = 1, #ids do
    fields[i] = '#' .. records[ids[i]][USER]
  end
  local before = redis.call('HMGET', buyers_key, unpack(fields))
  for i = 1, #fields do
    counts[fields[i]] = (counts[fields[i]] or tonumber(before[i] or 0)) + 1
  end
  return counts
end

-- Until the first buyer reaches the limit, `reserve` does not read these counts.
local function save_released(sale_key, buyers_key, counts)
  local args, most = {}, 0
  for field, count in pairs(counts) do
    args[#args + 1] = field
    args[#args + 1] = whole(count)
    most = math.max(most, count)
  end
  redis.call('HSET', buyers_key, unpack(args))
  local f = redis.call('HMGET', sale_key, 'max_released', 'limits_released')
  local limit = tonumber(f[1] or MAX_RELEASED)
  if limit > 0 and most >= limit and f[2] ~= '1' then
    redis.call('HSET', sale_key, 'limits_released', 1)
    save_terms(sale_key)
  end
end
