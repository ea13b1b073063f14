-- One outbox entry: the routing key and the body that is published as it is, a message in JSON or several, a line each.
local function add_to_outbox(outbox_key, routing_key, message)
  redis.call('XADD', outbox_key, '*', 'k', routing_key, 'b', cjson.encode(message))
end
