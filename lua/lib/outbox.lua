-- One outbox entry: the routing key and the JSON body the relay publishes as it is.
local function add_to_outbox(outbox_key, routing_key, message)
  redis.call('XADD', outbox_key, '*', 'k', routing_key, 'b', cjson.encode(message))
end
