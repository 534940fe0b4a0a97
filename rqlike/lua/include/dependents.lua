--- @include now
--- @include place
--- @include ring
--- @include move
--- @include leave
--- @include until_gone
-- tell_dependents(broken): tells at most C.TELL_LIMIT of the jobs that wait for others, and whose others have ended, in
-- the order in which these have. What is told is gone from its list, and a list that is empty from the set of lists, so a
-- call that fails half-way, or is made again, goes on where it stands. Answers whether there is more.

local told, woken = 0, {}

-- All it has waited for has ended as it wished.
local function make_ready(job_id, got, front)
  local queue, due, ttl = got[4], tonumber(got[5] or nil), tonumber(got[7] or nil)
  call('ZREM', key_home('deferred', queue), job_id)
  call('HDEL', key_job(job_id), F.needs, F.enrolled)
  if due and due > now then
    enter('ready', job_id, queue, got[1], 'scheduled', got[5], {}, got[8])
    woken[queue] = woken[queue] or {}
    return
  end
  local band = math.floor((tonumber(got[6]) or C.NORMAL_BAND * C.BAND_WIDTH) / C.BAND_WIDTH)
  local score = place(front and C.FRONT_BAND or band, next_sequence(1))
  local fields = {F.place, score, F.enqueued, stamp}
  if ttl then
    fields[5], fields[6] = F.ttl_deadline, string.format('%.0f', now + ttl)
    call('ZADD', key_ttl(queue), fields[6], job_id)
  end
  enter('ready', job_id, queue, got[1], 'queued', score, fields, got[8])
  call('HDEL', key_job(job_id), F.due, F.ttl)
  woken[queue] = woken[queue] or {}
  woken[queue].jobs = (woken[queue].jobs or 0) + 1
end

-- One job that waits. Answers true where it goes on waiting for the same one.
local function tell(edge, outcome)
  local serial, wish, job_id = string.match(edge, '^(%d+) (%a+) (.+)$')
  if not serial then return false end
  local got = call('HMGET', key_job(job_id), F.status, F.enrolled, F.needs, F.queue, F.due, F.place, F.ttl,
    F.cycle)
  -- canceled, deleted or enqueued anew since
  if not allowed('ready', got[1]) or got[2] ~= serial then return false end
  local how, front = string.sub(wish, 1, 1), string.sub(wish, 2, 2) == 'f'
  if outcome == 'finished' or how == 'r' then
    local left = (tonumber(got[3]) or 1) - 1
    if left > 0 then
      call('HSET', key_job(job_id), F.needs, left)
    else
      make_ready(job_id, got, front)
    end
  elseif outcome == 'failed' and how == 'w' then
    return true
  elseif outcome == 'erase' then
    --- @include erase
    dependents_too = true
    erase(job_id, call('HMGET', key_job(job_id), unpack(ERASE_FIELDS)), '')
    erased()
  else
    leave('cancel', job_id, load_leaving(job_id), 'canceled', '', 'dependency')
  end
  return false
end

-- The jobs that wait until one that failed is run again: they stand in its list again, and are told that it is gone when
-- it is.
local function keep_waiting(parent, edges)
  for _, edge in ipairs(edges) do call('RPUSH', key_dependents(parent), edge) end
  call('HSET', key_job(parent), F.dependents, '1', F.extra, '1')
  until_gone(parent)
end

-- Whatever the job says of itself.
local function where_it_waits(job_id)
  for _, queue in ipairs(call('SMEMBERS', key_queues())) do
    if type(redis.pcall('ZSCORE', key_home('deferred', queue), job_id)) == 'string' then return queue end
  end
  return nil
end

-- Tells some of them, and adds those that go on waiting to `keep`.
local function tell_each(edges, outcome, broken, keep)
  for _, edge in ipairs(edges) do
    local fine, waits = pcall(tell, edge, outcome)
    if not fine then
      local job_id = string.match(edge, '^%d+ %a+ (.+)$')
      broken(where_it_waits(job_id), job_id, waits)
    elseif waits then
      keep[#keep + 1] = edge
    end
  end
end

local function tell_list(serial, outcome, parent, broken)
  local list, keep = key_telling(serial), {}
  while told < C.TELL_LIMIT do
    local edges = call('LPOP', list, math.min(64, C.TELL_LIMIT - told))
    if not edges then break end
    told = told + #edges
    tell_each(edges, outcome, broken, keep)
  end
  if #keep > 0 then
    local status = call('HGET', key_job(parent), F.status)
    if status == 'finished' then -- it was run again before they were told that it had failed
      tell_each(keep, status, broken, {})
    elseif status then
      keep_waiting(parent, keep)
    else
      tell_each(keep, 'gone', broken, {})
    end
  end
  return call('EXISTS', list) == 0
end

-- A job whose end others have not seen yet, or that was to be gone by now. Whether it is done with.
local function tell_of(member, broken)
  local serial, outcome, parent = string.match(member, '^(%S+) (%a+) (.+)$')
  if not serial then return true end
  if outcome == 'open' then -- who was adding to a group has not said that it is done
    --- @include group
    complete(parent, call('HGET', key_group(parent), G.queue))
    return true
  end
  if serial ~= '-' then return tell_list(serial, outcome, parent, broken) end
  local status, expires_at = call('HGET', key_job(parent), F.status), call('PEXPIRETIME', key_job(parent))
  if not status or (expires_at > 0 and expires_at <= now) then
    --- @include put_off
    put_off(parent, outcome)
  elseif expires_at > 0 then
    call('ZADD', key_unsettled(), string.format('%.0f', expires_at + 1), member)
    return false
  end
  return true -- one that lives again tells at its end
end

local function wake()
  for queue, what in pairs(woken) do
    ring(queue, now, what.jobs or 1)
  end
end

local function tell_dependents(broken)
  while told < C.TELL_LIMIT do
    local member = call('ZRANGEBYSCORE', key_unsettled(), '-inf', stamp, 'LIMIT', 0, 1)[1]
    if not member then break end
    local fine, done = pcall(tell_of, member, broken)
    if not fine then
      broken('', '', 'the dependents of ' .. member .. ': ' .. (type(done) == 'table' and done.err or tostring(done)))
      done = true
    end
    if done then call('ZREM', key_unsettled(), member) end
  end
  wake()
  return call('ZCOUNT', key_unsettled(), '-inf', stamp) > 0
end
