--- @gives tell_dependents
--- @include now
--- @include entry
--- @include place
--- @include ring
--- @include move
--- @include put_off
--- @include leave
--- @include until_gone
-- tell_dependents(broken): tells at most C.TELL_LIMIT of the jobs that wait for others, and whose others have ended, in
-- the order in which these have. What is told is gone from its list, and a list that is empty from the set of lists, so a
-- call that fails half-way, or is made again, goes on where it stands. Answers whether there is more. `broken` is told of
-- what cannot be worked with; where it answers false it leaves that to a worker.

local told, woken = 0, {} -- a list that holds nobody any more counts too

-- All it has waited for has ended as it wished.
local function make_ready(job_id, got, front)
  local queue, due, ttl = got[4], tonumber(got[5] or nil), tonumber(got[7] or nil)
  call('ZREM', key_home('deferred', queue), job_id)
  if due and due > now then
    local fields = {}
    if front then fields = {F.place, place(C.FRONT_BAND, 0)} end -- it is given its place on promotion
    enter('ready', job_id, queue, got[1], 'scheduled', got[5], fields, got[8])
    call('HDEL', key_job(job_id), F.needs, F.enrolled) -- last: where this fails half-way it can be told again
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
  call('HDEL', key_job(job_id), F.due, F.ttl, F.needs, F.enrolled)
  woken[queue] = woken[queue] or {}
  woken[queue].jobs = (woken[queue].jobs or 0) + 1
end

-- One job that waits. Answers true where it goes on waiting for the same one.
local function tell(edge, outcome)
  local serial, wish, job_id = string.match(edge, '^(%d+) (%a+) (.+)$')
  if not serial then return false end
  local got = call('HMGET', key_job(job_id), F.status, F.enrolled, F.needs, F.queue, F.due, F.place, F.ttl,
    F.cycle)
  if not got[1] then
    put_off(job_id, 'gone') -- something else has taken it away, perhaps, and then nobody has told those who wait for it
  end
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
  for _, edge in ipairs(edges) do firmly('RPUSH', key_dependents(parent), edge) end
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

-- What nobody here can work with waits for a worker, in a list of its own.
local function set_aside(edge, outcome, parent)
  local serial = string.format('%.0f', next_sequence(1) + 1)
  firmly('ZADD', key_unsettled(), now + 1, serial .. ' ' .. outcome .. ' ' .. parent)
  call('RPUSH', key_telling(serial), edge)
end

-- Answers those that go on waiting.
local function tell_each(edges, outcome, parent, broken)
  local waiting = {}
  for _, edge in ipairs(edges) do
    local fine, waits = pcall(tell, edge, outcome)
    if not fine then
      local job_id = string.match(edge, '^%d+ %a+ (.+)$')
      if broken(where_it_waits(job_id), job_id, waits) == false then set_aside(edge, outcome, parent) end
    elseif waits then
      waiting[#waiting + 1] = edge
    end
  end
  return waiting
end

-- What has become by now of a job that had failed.
local function outcome_by_now(parent)
  local status = redis.pcall('HGET', key_job(parent), F.status)
  if type(status) == 'string' then return status == 'finished' and 'finished' or 'failed' end
  local fine, trace = pcall(newest_entry, parent)
  return fine and trace and entry_field(trace, E.type) == '1' and 'finished' or 'gone' -- as in `needed`
end

local function tell_list(serial, outcome, parent, broken)
  local list, waiting = key_telling(serial), {}
  while told < C.TELL_LIMIT do
    local edges = call('LPOP', list, math.min(64, C.TELL_LIMIT - told))
    if not edges then break end
    told = told + #edges
    for _, edge in ipairs(tell_each(edges, outcome, parent, broken)) do waiting[#waiting + 1] = edge end
  end
  if #waiting > 0 then
    local by_now = outcome_by_now(parent)
    if by_now == 'failed' then keep_waiting(parent, waiting) else tell_each(waiting, by_now, parent, broken) end
  end
  return call('EXISTS', list) == 0
end

-- A job whose end others have not seen yet, or that was to be gone by now. Whether it is done with.
local function tell_of(member, broken)
  local serial, outcome, parent = string.match(member, '^(%S+) (%a+) (.+)$')
  if not serial then return true end
  if outcome == 'open' then -- who was adding to a group has not said that it is done
    --- @include group
    call('ZREM', key_unsettled(), member) -- first: it may be put there again
    complete(parent, call('HGET', key_group(parent), G.queue))
    return false
  end
  if serial ~= '-' then return tell_list(serial, outcome, parent, broken) end
  local status, expires_at = redis.pcall('HGET', key_job(parent), F.status), call('PEXPIRETIME', key_job(parent))
  if type(status) ~= 'string' or (expires_at > 0 and expires_at <= now) then
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

function tell_dependents(broken)
  while told < C.TELL_LIMIT do
    local member = firmly('ZRANGEBYSCORE', key_unsettled(), '-inf', stamp, 'LIMIT', 0, 1)[1]
    if not member then break end
    local before = told
    local fine, done = pcall(tell_of, member, broken)
    told = math.max(told, before + 1)
    if not fine then
      local why = 'the dependents of ' .. member .. ': ' .. (type(done) == 'table' and done.err or tostring(done))
      done = broken('', '', why) ~= false
      if not done then call('ZADD', key_unsettled(), now + 1, member) end
    end
    if done then call('ZREM', key_unsettled(), member) end
  end
  wake()
  return call('ZCOUNT', key_unsettled(), '-inf', stamp) > 0
end
