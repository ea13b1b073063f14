-- What `unpack` can put on the stack is limited, and a small hash returns all its fields at once, whatever the count.
local NAMES_MAX = 1000

-- The values of many names, which `command` reads from `key`.
local function read_each(command, key, names)
  local values = {}
  for first = 1, #names, NAMES_MAX do
    local last = math.min(first + NAMES_MAX - 1, #names)
    local part = command(key, unpack(names, first, last))
    for i = 1, #part do
      values[first + i - 1] = part[i]
    end
  end
  return values
end

local function hmget(key, ...)
  return redis.call('HMGET', key, ...)
end

local function zmscore(key, ...)
  return redis.call('ZMSCORE', key, ...)
end
