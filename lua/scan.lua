#!lua
--[[
Purpose: Read a page of a sale's orders as text that the ledger can compare, and name the orders that need a look of their own. Writes nothing.
KEYS:
  1 orders      hash    order id -> packed record
  2 deadlines   zset    <sale>|<order id> by deadline in ms
ARGV:
  1 sale_id     the sale's id
  2 cursor      of HSCAN over the orders, '0' at first
  3 count       orders of a page, about
  4 overdue_ms  a held order with an earlier deadline is named
  5 strict      '1': an order with other characters than printable ASCII is strange; else the caller looks for them in the text
Returns: {status, cursor, names, lines, counts, held, waiting, strange, refunded}; names and lines: each begins with \31; a line is letter, user, \29, quantity, \29, payment id if it was paid; counts: letter, quantity and number of orders, flat; held: ids of held orders that are overdue or have another deadline; waiting: ids of returned orders whose units wait for the broker; strange: ids of the orders that are in no other part, because their records are unusual; refunded: of each order in the columns that remembers refunded payments, its id and then those
  status: read
]]
-- @include lib/record.lua
-- @include lib/read_each.lua
local keys = { orders = KEYS[1], deadlines = KEYS[2] }
local sale_id, overdue_ms, strict = ARGV[1], tonumber(ARGV[4]), ARGV[5] == '1'
local byte, sub = string.byte, string.sub
local LETTERS = { [80] = '\31P', [82] = '\31R', [88] = '\31X', [67] = '\31C', [84] = '\31T', [87] = '\31W', [75] = '\31K' }
local PAID = { [80] = true, [84] = true, [87] = true, [75] = true }
local HELD, WAITING = 82, 87
local QUANTITY_MAX = 999999
-- With the 16 refunded payments that lua/settle.lua writes at most.
local FIELDS_MAX = 22
local between = {}
for quantity = 0, 127 do
  between[quantity] = '\29' .. quantity .. '\29'
end

-- The text of a packed string at a place, and the place after it; nil if there is no short string.
local function text_at(packed, at)
  local head, length = byte(packed, at, at + 1)
  if head and head >= 0xa0 and head <= 0xbf then
    return sub(packed, at + 1, at + head - 0xa0), at + head - 0x9f
  elseif head == 0xd9 and length then
    return sub(packed, at + 2, at + 1 + length), at + 2 + length
  end
end

-- The 64-bit number at a place.
local function number_at(packed, at)
  local a, b, c, d, e, f, g, h = byte(packed, at, at + 7)
  return ((((((a * 256 + b) * 256 + c) * 256 + d) * 256 + e) * 256 + f) * 256 + g) * 256 + h
end

-- The parts of a usual record, because to unpack the whole one takes thrice as long: letter, user, quantity, payment id, deadline if it is held.
local function parts_of(packed)
  local head, one, letter = byte(packed, 1, 3)
  if not letter or head < 0x94 or head > 0x96 or one ~= 0xa1 then
    return nil
  end
  local user, at = text_at(packed, 4)
  if not user then
    return nil
  end
  local quantity, kind = byte(packed, at, at + 1)
  if kind ~= 0xcf or quantity > 0x7f then
    return nil
  end
  local after, trace, payment = at + 10, '', ''
  if head > 0x94 then
    trace, after = text_at(packed, after)
    if trace and head == 0x96 then
      payment, after = text_at(packed, after)
    end
  end
  if after ~= #packed + 1 or trace ~= '' and string.find(trace, '[^ -~]') then
    return nil
  end
  return letter, user, quantity, payment, letter == HELD and number_at(packed, at + 2)
end

-- The same of every other record, and its fields. One that is packed in another way than the scripts do is nil, as is one that is damaged.
local function unpacked_parts(packed)
  local ok, record = pcall(cmsgpack.unpack, packed)
  if not ok or type(record) ~= 'table' or #record > FIELDS_MAX or cmsgpack.pack(record) ~= packed then
    return nil
  end
  local letter, user, quantity, deadline = record[STATE], record[USER], record[QUANTITY], record[DEADLINE]
  local payment = record[PAYMENT] or ''
  local texts = type(letter) == 'string' and #letter == 1 and type(user) == 'string' and type(payment) == 'string'
  if not texts or type(quantity) ~= 'number' or type(deadline) ~= 'number' or deadline ~= math.floor(deadline) then
    return nil
  end
  for i = TRACE, #record do
    if type(record[i]) ~= 'string' or string.find(record[i], '[^ -~]') then
      return nil
    end
  end
  return byte(letter), user, quantity, payment, deadline, record
end

local function is_usual(letter, user, quantity, payment, name)
  if not letter or not LETTERS[letter] or quantity < 0 or quantity > QUANTITY_MAX or quantity ~= math.floor(quantity) then
    return false
  end
  return not (strict and string.find(name .. user .. payment, '[^!-~]'))
end

local page = redis.call('HSCAN', keys.orders, ARGV[2], 'COUNT', ARGV[3])
local names, lines, sums, held, due, members, waiting, strange, refunded = {}, {}, {}, {}, {}, {}, {}, {}, {}
local lengths = 0
for i = 1, #page[2], 2 do
  local name, packed = page[2][i], page[2][i + 1]
  local letter, user, quantity, payment, deadline, record = parts_of(packed)
  if not letter then
    letter, user, quantity, payment, deadline, record = unpacked_parts(packed)
  end
  if is_usual(letter, user, quantity, payment, name) then
    names[#names + 1] = name
    lines[lengths + 1], lines[lengths + 2] = LETTERS[letter], user
    lines[lengths + 3], lines[lengths + 4] = between[quantity] or string.format('\29%d\29', quantity), PAID[letter] and payment or ''
    lengths = lengths + 4
    local kind = letter * (QUANTITY_MAX + 1) + quantity
    sums[kind] = (sums[kind] or 0) + 1
    if record and #record >= FIRST_REFUND then
      refunded[#refunded + 1] = { name, unpack(record, FIRST_REFUND) }
    end
    if letter == HELD then
      held[#held + 1], due[#due + 1], members[#members + 1] = name, deadline, sale_id .. '|' .. name
    elseif letter == WAITING then
      waiting[#waiting + 1] = name
    end
  else
    strange[#strange + 1] = name
  end
end

local differing, counts = {}, {}
for i, score in ipairs(read_each(zmscore, keys.deadlines, members)) do
  if not score or tonumber(score) ~= due[i] or due[i] < overdue_ms then
    differing[#differing + 1] = held[i]
  end
end
for kind, orders in pairs(sums) do
  local quantity = kind % (QUANTITY_MAX + 1)
  counts[#counts + 1], counts[#counts + 2], counts[#counts + 3] = (kind - quantity) / (QUANTITY_MAX + 1), quantity, orders
end
local text = #names > 0 and '\31' .. table.concat(names, '\31') or ''
return { 'read', page[1], text, table.concat(lines), counts, differing, waiting, strange, refunded }
