#!lua
--[[
Purpose: Read everything about some orders of a sale in one atomic step, so that a difference between two of these values is a fault. Writes nothing.
KEYS:
  1 sale        hash    definition and counters (may be missing)
  2 orders      hash    order id -> packed record
  3 buyers      hash    user -> units held or bought
  4 deadlines   zset    <sale>|<order id> by deadline in ms
  5 fence       hash    the shard's fence (may be missing)
ARGV:
  1 sale_id     the sale's id
  2 cursor      of HSCAN over the orders, '0' at first: the call reads a page of them; empty: it reads the orders and users named below
  3 count       orders of a page, about
  4 order_ids   cmsgpack array of order ids, at most 2,000
  5 user_ids    cmsgpack array of users, at most 2,000
  6 clock_ms    empty for Redis TIME
Returns: {now_ms, status, cursor, sale, size, order_ids, records, deadlines, users, units, closed, incarnation}: the fields of the sale flat, the number of its orders, then the orders in three parallel arrays, and the users in two; for a page, the users are the buyers of its orders; not packed, because records are bytes; closed is why no script may write to the shard, or empty
  status: known unknown
]]
-- @include lib/clock.lua
-- @include lib/record.lua
-- @include lib/read_each.lua
local keys = { sale = KEYS[1], orders = KEYS[2], buyers = KEYS[3], deadlines = KEYS[4], fence = KEYS[5] }
local sale_id, cursor, cursor_given, ids, users = ARGV[1], ARGV[2], ARGV[2], cmsgpack.unpack(ARGV[4]), cmsgpack.unpack(ARGV[5])
-- The user of a packed record, or nil if it cannot be read. A short one is cut out, because to unpack the whole record takes thrice as long.
local function user_of(packed)
  local head, state, _, length = string.byte(packed, 1, 4)
  if length and head >= 0x90 and head <= 0x9f and state == 0xa1 and length >= 0xa0 and length <= 0xbf then
    return string.sub(packed, 5, length - 0xa0 + 4)
  end
  local ok, record = pcall(cmsgpack.unpack, packed)
  local user = ok and type(record) == 'table' and record[USER]
  return type(user) == 'string' and user or nil
end

local records = {}
if cursor ~= '' then
  local page = redis.call('HSCAN', keys.orders, cursor, 'COUNT', ARGV[3])
  cursor, ids = page[1], {}
  local listed = {}
  for i = 1, #page[2], 2 do
    ids[#ids + 1], records[#records + 1] = page[2][i], page[2][i + 1]
    local user = user_of(page[2][i + 1])
    if user and not listed[user] then
      listed[user] = true
      users[#users + 1] = user
    end
  end
else
  records = read_each(hmget, keys.orders, ids)
end
-- A page has the deadlines of orders that are held; whether another order has one is read from the list of deadlines.
local members, of_order, deadlines = {}, {}, {}
for i = 1, #ids do
  deadlines[i] = false
  if cursor_given == '' or records[i] and string.byte(records[i], 3) == 82 then
    members[#members + 1], of_order[#of_order + 1] = sale_id .. '|' .. ids[i], i
  end
end
for i, score in ipairs(read_each(zmscore, keys.deadlines, members)) do
  deadlines[of_order[i]] = score
end
-- As lib/fence.lua decides, but where nobody may run INFO, the state alone decides.
local function closed_reason(fence)
  local info = redis.pcall('INFO', 'replication')
  local replid = type(info) == 'string' and info:match('master_replid:(%x+)') or fence[2]
  if fence.err or not fence[1] then
    return fence.err and 'unreadable' or 'missing'
  end
  return fence[1] ~= 'open' and fence[1] or fence[2] ~= replid and 'history' or ''
end

local fence = redis.pcall('HMGET', keys.fence, 'state', 'replid', 'incarnation')
local status = redis.call('HGET', keys.sale, 'total') and 'known' or 'unknown'
return {
  now_ms(ARGV[6]), status, cursor, redis.call('HGETALL', keys.sale), redis.call('HLEN', keys.orders), ids, records,
  deadlines, users, read_each(hmget, keys.buyers, users),
  closed_reason(fence), not fence.err and fence[3] or '0',
}
