-- For a key that is written without having been read: raises, naming it, unless it is missing or of this type. Each key is looked at once a call.
local looked_at = {}
local function must_be(kind, key)
  if looked_at[key] then
    return
  end
  local found = redis.call('TYPE', key).ok
  if found ~= kind and found ~= 'none' then
    error({ err = 'WRONGTYPE ' .. key .. ' is a ' .. found .. ', not a ' .. kind })
  end
  looked_at[key] = true
end
