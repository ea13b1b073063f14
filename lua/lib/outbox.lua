-- One outbox entry: the routing key and the JSON body that is published as it is. Returns {entry id, routing key, body}.
local function add_to_outbox(outbox_key, routing_key, message)
  local body = cjson.encode(message)
  return { redis.call('XADD', outbox_key, '*', 'k', routing_key, 'b', body), routing_key, body }
end
