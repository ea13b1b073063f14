-- A call for several sales. All are decided before anything is written, so that one whose data is broken costs the others nothing.

local function reason_of(fault)
  local words = type(fault) == 'table' and fault.err or fault
  return (tostring(words):gsub('^%-', ''))
end

-- `sales` is an array of arrays that begin with the sale's id; each sale has `keys_each` keys, in their order. `decide(keys_at, sale)` returns
-- the sale's answer and what is to be written; `save(keys_at, change)` writes that. Returns an answer of each sale, or in words why it has none.
local function for_each_sale(sales, keys_each, decide, save)
  local answers, changes, seen = {}, {}, {}
  for i = 1, #sales do
    local sale_id = sales[i][1]
    if seen[sale_id] then
      -- Decided twice from the same reading, its units would be sold twice.
      error({ err = 'TWICE the sale ' .. sale_id .. ' is named twice in one call' })
    end
    seen[sale_id] = true
    local ok, answer, change = pcall(decide, (i - 1) * keys_each, sales[i])
    answers[i], changes[i] = ok and answer or reason_of(answer), ok and change
  end
  for i = 1, #sales do
    if changes[i] then
      save((i - 1) * keys_each, changes[i])
    end
  end
  return answers
end

-- Messages that leave together: those of one outbox and one routing key are one entry.
local function new_notes()
  return {}
end

local function add_note(notes, outbox_key, routing_key, line)
  local name = outbox_key .. ' ' .. routing_key
  local note = notes[name]
  if not note then
    note = { outbox = outbox_key, routing_key = routing_key, lines = {} }
    notes[name], notes[#notes + 1] = note, note
  end
  note.lines[#note.lines + 1] = line
end

-- Returns the entries as {outbox, entry id, routing key, body}.
local function publish_notes(notes)
  local entries = {}
  for i = 1, #notes do
    local note = notes[i]
    local body = table.concat(note.lines, '\n')
    local id = redis.call('XADD', note.outbox, '*', 'k', note.routing_key, 'b', body)
    entries[i] = { note.outbox, id, note.routing_key, body }
  end
  return entries
end
