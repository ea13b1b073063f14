-- A call for several sales. All are decided before anything is written, so that a sale whose data is broken does not affect the others.

local function reason_of(fault, sale_id)
  local words = type(fault) == 'table' and fault.err or fault
  return (tostring(words):gsub('^%-', '')) .. ' (sale ' .. sale_id .. ')'
end

-- The call has `keys_before` keys of its own, then `keys_each` keys for each sale, in their order; `counts` has the number of each sale's items.
-- `decide(keys_at, sale_id, first, last)` puts the results of its items into `results` and returns what is to be written, or nil;
-- `save(keys_at, sale_id, change)` writes it. If a sale cannot be decided, each of its results is the reason, a text.
local function for_each_sale(sale_ids, counts, keys_before, keys_each, results, decide, save)
  local changes, seen, last = {}, {}, 0
  for n = 1, #sale_ids do
    if seen[sale_ids[n]] then
      -- Both decisions would read the same stock, and its units would be sold twice.
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

-- Adds a message without its closing brace. Those of one routing key become one entry, one per line. `notes` begins as an empty table.
local function add_note(notes, routing_key, line)
  local lines = notes[routing_key]
  if not lines then
    lines = {}
    notes[routing_key] = lines
  end
  lines[#lines + 1] = line
end

-- Returns the entries as {entry id, routing key, body}. Each line ends with the position of its entry (lib/fence.lua).
local function publish_notes(outbox_key, fence_key, notes, now)
  local entries = {}
  for routing_key, lines in pairs(notes) do
    local position = next_position(fence_key)
    local body = table.concat(lines, position .. '\n') .. position
    entries[#entries + 1] = { add_body(outbox_key, routing_key, body, now), routing_key, body }
  end
  return entries
end
