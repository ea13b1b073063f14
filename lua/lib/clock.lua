-- now(given): milliseconds since the epoch. Redis TIME decides; tests may hand in a clock.
local function now_ms(given)
  if given ~= '' then
    return tonumber(given)
  end
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
