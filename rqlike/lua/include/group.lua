--- @include now
-- Groups. Members stand in a sorted set in the order in which they came, those that have not ended in a set beside it. When
-- that set is empty, and nobody is still adding to the group, it is complete: its callback becomes a job, and the group is
-- kept as long as the one of its jobs that is kept longest.

-- `held`: until when somebody is adding to it, in ms.
local function complete(group, queue)
  local got = call('HMGET', key_group(group), G.held, G.callback, G.until_ms, G.created, G.done)
  if not got[4] or got[5] or (tonumber(got[1] or 0) or 0) > now then return end
  if call('SCARD', key_pending(group)) > 0 or call('ZCARD', key_members(group)) == 0 then return end
  call('HSET', key_group(group), G.done, stamp)
  local number = call('HINCRBY', key_group(group), G.completed, 1)
  if got[2] then
    --- @include create
    --- @include ring
    local sequence = next_sequence(1)
    create(group .. '@' .. number, {queue, got[2], '', '', '', '', '', '', ''}, sequence)
    ring(queue, sequence, 1)
  end
  if got[3] and got[3] ~= '+inf' then
    local at = string.format('%.0f', math.max(tonumber(got[3]) or 0, now + C.GRACE_MS))
    call('PEXPIREAT', key_group(group), at)
    call('PEXPIREAT', key_members(group), at)
  end
end

-- A job of it has ended, and is kept until `moment`.
local function left_group(group, job_id, queue, moment)
  if call('SREM', key_pending(group), job_id) == 0 then return end
  local known = call('HGET', key_group(group), G.until_ms)
  if moment == '+inf' or (known ~= '+inf' and tonumber(moment) > (tonumber(known or 0) or 0)) then
    call('HSET', key_group(group), G.until_ms, moment)
  end
  complete(group, queue)
end

-- Jobs of it live, again or newly.
local function entered_group(group, flat)
  if #flat == 0 then return end
  call('HDEL', key_group(group), G.done)
  call('PERSIST', key_group(group))
  call('PERSIST', key_members(group))
  for first = 1, #flat, 500 do call('ZADD', key_members(group), 'NX', unpack(flat, first, math.min(first + 499, #flat))) end
  for at = 2, #flat, 2 do call('SADD', key_pending(group), flat[at]) end
end
