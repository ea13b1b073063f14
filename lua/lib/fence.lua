-- The fence of a shard: a script writes only to the history of Redis that the ledger agreed to (docs/decisions/0028).
-- `master_replid` is new after each restart and each promotion. Where nobody may run INFO it is empty, and only `known` detects a regression.

local fences, replid = {}, nil

local function current_replid()
  if not replid then
    local info = redis.pcall('INFO', 'replication')
    -- A plain search, because a pattern costs each call half a microsecond more.
    local _, last = (type(info) == 'string' and info or ''):find('master_replid:', 1, true)
    replid = last and info:sub(last + 1, last + 40) or ''
  end
  return replid
end

-- Why no script may write to the shard, or nil. `known` is the highest seq that the caller was answered there.
local function fence_fault(f, known)
  if not f[1] then
    return 'missing'
  elseif f[1] ~= 'open' then
    return f[1]
  elseif f[2] ~= current_replid() then
    return replid == '' and 'hidden' or 'history'
  elseif (tonumber(known) or 0) > tonumber(f[4]) then
    return 'regressed'
  end
  return nil
end

-- Raises FENCED unless the shard may be written. Call it for each shard before the first write.
local function require_open(fence_key, known)
  if fences[fence_key] then
    return
  end
  local f = redis.pcall('HMGET', fence_key, 'state', 'replid', 'incarnation', 'seq')
  if f.err then
    error({ err = f.err:gsub('^%-', '') .. ' (' .. fence_key .. ')' })
  end
  local fault = fence_fault(f, known)
  if fault then
    error({ err = 'FENCED ' .. fault })
  end
  fences[fence_key] = { incarnation = f[3], seq = tonumber(f[4]) }
end

-- The end of each line of the next entry: its position [shard, incarnation, seq], and the brace that closes the line.
local function next_position(fence_key)
  local fence = fences[fence_key]
  fence.seq = redis.call('HINCRBY', fence_key, 'seq', 1)
  return ',"seq":[' .. fence_key:match('{(%d+)}') .. ',' .. fence.incarnation .. ',' .. string.format('%d', fence.seq) .. ']}'
end

local function seq_of(fence_key)
  return fences[fence_key].seq
end
