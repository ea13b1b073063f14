-- Releases held orders: the only way from reserved to expired or cancelled. `released` is a list of ids of orders that are reserved.
local function release(keys, sale_id, stock, records, released, state, message_type, now)
  must_be_stream(keys.outbox)
  must_be_sorted_set(keys.deadlines)
  local units = load_units(keys.buyers, records, released)
  local members, lines, changed = {}, {}, {}
  for i = 1, #released do
    local id, record = released[i], records[released[i]]
    stock.available, stock.reserved = stock.available + record[QUANTITY], stock.reserved - record[QUANTITY]
    units[record[USER]] = units[record[USER]] - record[QUANTITY]
    record[STATE] = state
    changed[id] = record
    members[i] = sale_id .. '|' .. id
    lines[i] = { id, record[USER], record[QUANTITY], record[DEADLINE], record[TRACE] }
  end
  local broken = broken_stock(stock)
  if broken then
    return broken
  end
  local counts = load_released(keys.buyers, records, released)
  save_records(keys.orders, changed)
  save_released(keys.sale, keys.buyers, counts)
  save_units(keys.buyers, units)
  redis.call('ZREM', keys.deadlines, unpack(members))
  save_stock(keys.sale, stock)
  add_to_outbox(keys.outbox, keys.fence, message_type, {
    v = 1, type = message_type, sale = sale_id, epoch = stock.epoch, at = now, orders = lines,
  }, now)
  return nil
end
