-- A call for several sales. All are decided before anything is written, so that one whose data is broken costs the others nothing.

local function reason_of(fault, sale_id)
  local words = type(fault) == 'table' and fault.err or fault
  return (tostring(words):gsub('^%-', '')) .. ' (sale ' .. sale_id .. ')'
end

-- Behind `keys_before` keys of the call each sale has `keys_each`, in their order, and `counts` says how many items.
-- `decide(keys_at, sale_id, first, last)` puts the results of its items into `results` and returns what is to be written, or nil;
-- `save(keys_at, sale_id, change)` writes it. The results of a sale that could not be decided are the reason, in words.
local function for_each_sale(sale_ids, counts, keys_before, keys_each, results, decide, save)
  local changes, seen, last = {}, {}, 0
  for n = 1, #sale_ids do
    if seen[sale_ids[n]] then
      -- Decided twice from the same reading, its units would be sold twice.
      error({ err = 'TWICE the sale ' .. sale_ids[n] .. ' is named twice in one call' })
    end
    seen[sale_ids[n]] = true
    local first = last + 1
    last = last + counts[n]
    local ok, change = pcall(decide, keys_before + (n - 1) * keys_each, sale_ids[n], first, last)
    changes[n] = ok and change
    if not ok then
      local reason = reason_of(change, sale_ids[n])
      for i = first, last do
        results[i] = reason
      end
    end
  end
  for n = 1, #sale_ids do
    if changes[n] then
      save(keys_before + (n - 1) * keys_each, sale_ids[n], changes[n])
    end
  end
end

-- Messages that leave together: those of one routing key are one entry, a line each. `notes` begins as an empty table.
local function add_note(notes, routing_key, line)
  local lines = notes[routing_key]
  if not lines then
    lines = {}
    notes[routing_key] = lines
  end
  lines[#lines + 1] = line
end

-- Returns the entries as {entry id, routing key, body}.
local function publish_notes(outbox_key, notes, now)
  local entries = {}
  for routing_key, lines in pairs(notes) do
    local body = table.concat(lines, '\n')
    entries[#entries + 1] = { add_body(outbox_key, routing_key, body, now), routing_key, body }
  end
  return entries
end
