-- Adds an entry: its routing key, the body, and the time from which its age is measured. The time in its id cannot serve for that: it never
-- goes back, not even when the clock does. Returns the entry's id.
local function add_body(outbox_key, routing_key, body, now)
  return redis.call('XADD', outbox_key, '*', 'k', routing_key, 'b', body, 't', whole(now))
end

-- Adds an entry of one message, with its position (lib/fence.lua). Returns the entry's id and body.
local function add_to_outbox(outbox_key, fence_key, routing_key, message, now)
  local body = cjson.encode(message):sub(1, -2) .. next_position(fence_key)
  return add_body(outbox_key, routing_key, body, now), body
end
