--- @gives complete, left_group, entered_group
--- @include now
--- @include firmly
-- Groups. Members stand in a sorted set in the order in which they came, those that have not ended in a set beside it. When
-- that set is empty, and nobody is still adding to the group, it is complete: its callback becomes a job, and the group is
-- kept as long as the one of its jobs that is kept longest.

-- Its callback as a job; under a longer id where another one has the usual, of a group that had this name before.
local function call_back(group, queue, data, number)
  --- @include place
  --- @include create
  --- @include ring
  local sequence, job_id = next_sequence(1), group .. '@' .. number
  if call('EXISTS', key_job(job_id), key_results(job_id)) > 0 then job_id = job_id .. '-' .. sequence end
  create(job_id, {queue, data, '', '', '', '', '', '', ''}, sequence)
  ring(queue, sequence, 1)
end

-- It is complete, and forgotten with the last of its jobs.
local function date_group(group, until_ms)
  local at = until_ms ~= '+inf' and string.format('%.0f', math.max(tonumber(until_ms) or 0, now + C.GRACE_MS))
  for _, key in ipairs({key_group(group), key_members(group)}) do
    if at then call('PEXPIREAT', key, at) else call('PERSIST', key) end
  end
end

-- `held`: until when somebody is adding to it, in ms.
function complete(group, queue)
  local got = firmly('HMGET', key_group(group), G.held, G.callback, G.until_ms, G.created, G.done, G.completed)
  if not got[4] or got[5] or (tonumber(got[1] or 0) or 0) > now then return end
  if firmly('SCARD', key_pending(group)) > 0 or firmly('ZCARD', key_members(group)) == 0 then return end
  local number = (tonumber(got[6] or 0) or 0) + 1
  if got[2] and not pcall(call_back, group, queue, got[2], number) then
    -- something else has written into that queue: the job that has ended is not to suffer for it
    firmly('ZADD', key_unsettled(), string.format('%.0f', now + C.AUDIT_MS), '- open ' .. group)
    return
  end
  call('HSET', key_group(group), G.done, stamp, G.completed, number)
  if got[3] then date_group(group, got[3]) end
end

-- A job of it that has ended is kept until `moment`. Whether there is such a group.
local function outlives(group, moment)
  local known, created, done = unpack(firmly('HMGET', key_group(group), G.until_ms, G.created, G.done))
  if not created then return false end
  if moment == '+inf' or (known ~= '+inf' and tonumber(moment) > (tonumber(known or 0) or 0)) then
    call('HSET', key_group(group), G.until_ms, moment)
    if done then date_group(group, moment) end
  end
  return true
end

-- A job of it has ended, and is kept until `moment`.
function left_group(group, job_id, queue, moment)
  if firmly('SREM', key_pending(group), job_id) == 0 then return end
  if outlives(group, moment) then
    complete(group, queue)
  else -- something else has taken it away
    call('DEL', key_pending(group), key_members(group))
  end
end

-- Jobs of it live, again or newly; where there is such a group.
function entered_group(group, flat)
  if #flat == 0 or not firmly('HGET', key_group(group), G.created) then return end
  call('HDEL', key_group(group), G.done)
  call('PERSIST', key_group(group))
  call('PERSIST', key_members(group))
  local ids = {}
  for at = 2, #flat, 2 do ids[at / 2] = flat[at] end
  for first = 1, #ids, 500 do
    firmly('ZADD', key_members(group), 'NX', unpack(flat, 2 * first - 1, math.min(2 * first + 998, #flat)))
    firmly('SADD', key_pending(group), unpack(ids, first, math.min(first + 499, #ids)))
  end
end
