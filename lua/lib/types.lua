-- For keys that are written without having been read: each function raises, with the key's name, unless the key is missing or has that type.
-- Each key is checked once in a call, by reading its size: TYPE takes twice as long.
local looked_at = {}
local function look_at(kind, key, answer)
  if type(answer) == 'table' then
    local reason = answer.err:gsub('^%-', '')
    error({ err = reason:find('^WRONGTYPE') and 'WRONGTYPE ' .. key .. ' is no ' .. kind or reason })
  end
  looked_at[key] = true
end

local function must_be_stream(key)
  if not looked_at[key] then
    look_at('stream', key, redis.pcall('XLEN', key))
  end
end

local function must_be_sorted_set(key)
  if not looked_at[key] then
    look_at('sorted set', key, redis.pcall('ZCARD', key))
  end
end

local function must_be_set(key)
  if not looked_at[key] then
    look_at('set', key, redis.pcall('SCARD', key))
  end
end
