-- The parts of a sale's definition that every order needs, packed in the field `terms`:
-- {state, starts_ms, ends_ms, max_per_user, hold_seconds, rate_requests, rate_seconds, max_released, confirmed}.
-- One packed field is read in a third of the time of seven fields. A call that changes one of these parts also saves the terms.
-- confirmed is whether the sale's durability is `confirmed`; terms that an older release packed lack it, and mean `fsync`.
-- max_released limits a buyer's released orders; it is 0 while no buyer can have reached it. A sale without that limit has the default.
local MAX_RELEASED = 20
local function save_terms(sale_key)
  local f = redis.call('HMGET', sale_key, 'state', 'starts_ms', 'ends_ms', 'max_per_user', 'hold_seconds', 'rate_requests', 'rate_seconds', 'max_released', 'limits_released', 'terms', 'durability')
  local released = f[9] == '1' and tonumber(f[8] or MAX_RELEASED) or 0
  local terms = cmsgpack.pack(f[1], tonumber(f[2]), tonumber(f[3]), tonumber(f[4]), tonumber(f[5]), tonumber(f[6]), tonumber(f[7]), released, f[11] == 'confirmed')
  if terms ~= f[10] then
    redis.call('HSET', sale_key, 'terms', terms)
  end
  return terms
end
