-- One outbox entry: the routing key, the body that is published as it is, and the time by which its age is told: the time in an entry's id
-- never goes back, not even when the clock does. Returns the entry's id.
local function add_body(outbox_key, routing_key, body, now)
  return redis.call('XADD', outbox_key, '*', 'k', routing_key, 'b', body, 't', whole(now))
end

-- An entry of one message.
local function add_to_outbox(outbox_key, routing_key, message, now)
  add_body(outbox_key, routing_key, cjson.encode(message), now)
end
