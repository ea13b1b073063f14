-- One outbox entry: the routing key and the body that is published as it is. Returns the entry's id.
local function add_body(outbox_key, routing_key, body)
  return redis.call('XADD', outbox_key, '*', 'k', routing_key, 'b', body)
end

-- An entry of one message.
local function add_to_outbox(outbox_key, routing_key, message)
  add_body(outbox_key, routing_key, cjson.encode(message))
end
