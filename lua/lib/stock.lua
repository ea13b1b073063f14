-- A whole number as an argument. Redis would format it as a double with seventeen digits, which takes as long as a small command.
local function whole(number)
  return string.format('%d', number)
end

-- The three counters of a sale. They are read once, moved in memory, checked, and written once, so a script that fails a check has changed nothing.
-- Returns nil when there is no such sale; else the counters, and the values of the fields in `...` from the sixth on.
local function load_stock(sale_key, ...)
  local f = redis.call('HMGET', sale_key, 'total', 'available', 'reserved', 'sold', 'epoch', ...)
  if not f[1] then
    return nil
  end
  return {
    total = tonumber(f[1]), available = tonumber(f[2]), reserved = tonumber(f[3]), sold = tonumber(f[4]),
    epoch = tonumber(f[5]),
  }, f
end

-- Returns an error reply when the counters contradict each other, else nil. Call before the first write.
local function broken_stock(stock)
  local sum = stock.available + stock.reserved + stock.sold
  if stock.available < 0 or stock.reserved < 0 or stock.sold < 0 or sum ~= stock.total then
    return redis.error_reply('INVARIANT total ' .. stock.total .. ' is not available ' .. stock.available
      .. ' + reserved ' .. stock.reserved .. ' + sold ' .. stock.sold)
  end
  return nil
end

local function save_stock(sale_key, stock)
  redis.call('HSET', sale_key, 'available', whole(stock.available), 'reserved', whole(stock.reserved), 'sold', whole(stock.sold))
end
