-- The request rate of each buyer, as a sliding window counter over two windows of rate_ms: current + previous * (1 - elapsed / rate_ms).
-- Each window has a hash. Its field '#' is the window's number, so a stale hash counts as empty.

-- Most users counted in one window, so that invented ids do not fill the memory. Past it new users are not counted: if they were refused,
-- invented ids could lock out honest buyers. Nothing is lost, because a rate never limits a client that invents an id for each request.
local RATE_USERS_MAX = 100000

local function requests_by_user(key, users, first, last)
  local counts, by_user = redis.call('HMGET', key, unpack(users, first, last)), {}
  for i = first, last do
    by_user[users[i]] = tonumber(counts[i - first + 1] or 0)
  end
  return by_user
end

-- Loads the counts of `users` from `first` to `last`; `requests` are allowed in `rate_ms`.
local function load_rate(even_key, odd_key, users, first, last, requests, rate_ms, now)
  local window = math.floor(now / rate_ms)
  local current, previous = even_key, odd_key
  if window % 2 == 1 then
    current, previous = previous, current
  end
  local rate = {
    requests = requests, ms = rate_ms, window = window, key = current, seen = {}, before = {}, counted = {}, room = RATE_USERS_MAX,
    weight = 1 - (now % rate_ms) / rate_ms, stale = tonumber(redis.call('HGET', current, '#') or -1) ~= window,
  }
  if not rate.stale then
    rate.seen = requests_by_user(current, users, first, last)
    -- One more, because the window's number is a field among the users.
    rate.room = RATE_USERS_MAX + 1 - redis.call('HLEN', current)
  end
  if tonumber(redis.call('HGET', previous, '#') or -1) == window - 1 then
    rate.before = requests_by_user(previous, users, first, last)
  end
  return rate
end

-- Whether one more request of `user` is too many; counts it if not.
local function over_rate(rate, user)
  local count = rate.seen[user] or 0
  if (rate.before[user] or 0) * rate.weight + count + 1 > rate.requests then
    return true
  end
  if count == 0 then
    if rate.room <= 0 then
      return false
    end
    rate.room = rate.room - 1
  end
  rate.seen[user], rate.counted[user] = count + 1, count + 1
  return false
end

local function save_rate(rate)
  if not next(rate.counted) then
    return
  end
  if rate.stale then
    -- A full server may refuse a script's first write, but no write that deletes: so the first write is not the deletion.
    redis.call('HSET', rate.key, '#', whole(rate.window))
    redis.call('UNLINK', rate.key)
  end
  local args = { '#', whole(rate.window) }
  for user, count in pairs(rate.counted) do
    args[#args + 1] = user
    args[#args + 1] = whole(count)
  end
  redis.call('HSET', rate.key, unpack(args))
  redis.call('PEXPIRE', rate.key, rate.ms * 2)
end
