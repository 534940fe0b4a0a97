--- @include now
--- @include place
--- @include ring
--- @include move
--- @include load
--- @include mend
--- @include get
--- @include leave
--- @include watch
-- What time alone has made due in a queue: lapsed leases, due jobs, missed deadlines, dead members of indexes.

-- `broken` is told of jobs that cannot be moved for what is in their keys.

local room = C.TOUCH_LIMIT -- jobs that may still be moved; a moment that is left over makes the worker call again at once

-- The first jobs of a set whose scores are past, at most as many as one queue may have moved and there is room for.
local function first_due(key)
  local due = call('ZRANGEBYSCORE', key, '-inf', stamp, 'LIMIT', 0, math.min(C.SWEEP_LIMIT, room))
  room = room - #due
  return due
end

-- Does `act` with each of `ids`, whatever happens to one of them; the sum of what it answers.
local function with_each(ids, queue, act, broken)
  local sum = 0
  for index, job_id in ipairs(ids) do
    local fine, answer = pcall(act, job_id, index)
    if fine then sum = sum + (answer or 0) else broken(queue, job_id, answer) end
  end
  return sum
end

-- What is in a home and is there no more, or not yet: nothing to do, unless nobody could do anything with it.
local function check_known(job_id, status)
  if allowed('delete', status) then return end
  if call('EXISTS', key_job(job_id)) == 1 then error('its status is none of rqlike', 0) end
  --- @include put_off
  put_off(job_id, 'gone') -- something else has taken it away, and told nobody who waits for it
end

-- Hands over lapsed executions under new tokens; they stay started. Adds {job_id, fields, lapsed token} to `handed`.
local function recover(queue, lease, mint, handed, broken)
  local started = key_home('started', queue)
  local late = call('ZRANGEBYSCORE', started, '-inf', stamp, 'LIMIT', 0, C.RECOVER_LIMIT - #handed)
  with_each(late, queue, function(job_id)
    local flat = load_job(job_id)
    -- where a rescuer was lost too, it is still the first execution that is judged
    local status, lapsed = get(flat, F.status), get(flat, F.lapsed) or get(flat, F.token) or ''
    if allowed('recover', status) then
      if get(flat, F.queue) ~= queue then mend(job_id, flat, queue) end
      local token = mint()
      enter('recover', job_id, queue, status, 'started', lease, {F.token, token, F.lapsed, lapsed, F.extra, '1'},
        get(flat, F.cycle), get(flat, F.attempt), nil, get(flat, F.worker))
      flat[#flat + 1] = F.token
      flat[#flat + 1] = token
      handed[#handed + 1] = {job_id, flat, lapsed}
    else
      call('ZREM', started, job_id)
      check_known(job_id, status)
    end
  end, broken)
end

local function promote_one(job_id, queue, sequence)
  local got = call('HMGET', key_job(job_id), F.status, F.place, F.ttl, F.cycle, F.attempt)
  call('ZREM', key_home('scheduled', queue), job_id)
  if not allowed('promote', got[1]) then
    check_known(job_id, got[1])
    return 0
  end
  local band = math.floor((tonumber(got[2]) or C.NORMAL_BAND * C.BAND_WIDTH) / C.BAND_WIDTH)
  local score = place(band, sequence)
  local fields = {F.place, score}
  if got[3] then
    local deadline = string.format('%.0f', now + tonumber(got[3]))
    fields[3], fields[4] = F.ttl_deadline, deadline
    call('ZADD', key_ttl(queue), deadline, job_id)
  end
  enter('promote', job_id, queue, got[1], 'queued', score, fields, got[4], got[5])
  call('HDEL', key_job(job_id), F.due, F.ttl)
  return 1
end

local function promote(queue, broken)
  local due = first_due(key_home('scheduled', queue))
  local sequence = next_sequence(#due)
  local moved = with_each(due, queue, function(job_id, index)
    return promote_one(job_id, queue, sequence + index - 1)
  end, broken)
  if moved > 0 then ring(queue, sequence, moved) end
end

local function expire(queue, broken)
  local late = first_due(key_ttl(queue))
  with_each(late, queue, function(job_id)
    local job = load_leaving(job_id)
    if job and allowed('expire', job.status) then
      leave('expire', job_id, job, 'expired')
    else
      call('ZREM', key_ttl(queue), job_id)
    end
  end, broken)
end

-- The score of the first member, once what `act` does about members that are due is done.
local function head_after(key, act, queue, broken)
  local head = tonumber(call('ZRANGE', key, 0, 0, 'WITHSCORES')[2])
  if not head or head > now then return head end
  act(queue, broken)
  return tonumber(call('ZRANGE', key, 0, 0, 'WITHSCORES')[2])
end

-- Promotes and expires; answers the next moment of a queue that this worker is to wake for, or nil where there is none
-- or another one watches it already. `pause_end`: when its pause is over, which idle workers sleep through.
local function promote_and_expire(queue, worker, broken, pause_end)
  local due = head_after(key_home('scheduled', queue), promote, queue, broken)
  local deadline = head_after(key_ttl(queue), expire, queue, broken)
  return watch(queue, math.min(due or math.huge, deadline or math.huge, pause_end or math.huge), worker)
end
