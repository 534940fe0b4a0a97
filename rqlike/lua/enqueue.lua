-- enqueue: new jobs, or new cycles of jobs that ended, into one queue.
-- Needs: deny-oom, so that a full server refuses the whole call and the producer hears of it.
-- KEYS: prefix
-- ARGV: now, queue, then per job: id, nonce ('' where rqlike made the id), band (negative: at the front, and its own one
--       when it comes back), due ('' at once | '+ms' from now | ms of the epoch), ttl_ms, failure_ttl_ms ('' default),
--       call, meta, limit ('' none). Of a single job with none of these options only id and call: most calls are such,
--       and each argument takes the producer a microsecond.
-- Answers: now, then per job its status where it is new, else {word, status, cycle, since}; word is cycle | replayed |
--          duplicate
-- Refuses: nothing; a live job under the same id is the answer 'duplicate', and the other jobs go on.
--- @include now
local queue, given = ARGV[2], ARGV
if #ARGV == 4 then
  local job_id, data = ARGV[3], ARGV[4]
  local key = key_job(job_id)
  if call('EXISTS', key, key_results(job_id)) == 0 and #data <= C.CHUNKED_LIMIT then
    --- @include plain
    return plain(key, job_id, data)
  end
  given = {'', queue, job_id, '', C.NORMAL_BAND, '', '', '', data, '', ''}
end
--- @include place
--- @include ring
--- @include blob
--- @include packed
local PER_JOB = 9
local count = (#given - 2) / PER_JOB
local sequence = next_sequence(count)

-- Whether nothing at all is known of any of these ids, as usual: neither a job nor the trace of one.
local function all_are_new()
  local keys, seen = {}, {}
  for at = 3, #given, PER_JOB do
    local job_id = given[at]
    if seen[job_id] then return false end
    seen[job_id] = true
    keys[#keys + 1] = key_job(job_id)
    keys[#keys + 1] = key_results(job_id)
  end
  for first = 1, #keys, 500 do
    if call('EXISTS', unpack(keys, first, math.min(first + 499, #keys))) > 0 then return false end
  end
  return true
end

-- What an id already stands for, and what of it a new cycle keeps.
local function standing(job_id, nonce)
  --- @include standing
  local word, old = look_at(job_id, nonce)
  if word == 'cycle' then return word, old, begin_cycle(job_id, old) end
  return word, old, 1, '0-0'
end

local function due_of(word)
  if word == '' then return nil end
  if string.sub(word, 1, 1) == '+' then return now + tonumber(string.sub(word, 2)) end
  return tonumber(word)
end

local fields, size
local function add(field, value)
  fields[size + 1], fields[size + 2] = field, value
  size = size + 2
end

local all_new, queued, scheduled, earliest = all_are_new(), {}, {}, nil
local answers = {now}
for index = 1, count do
  local at = 3 + (index - 1) * PER_JOB
  local job_id, nonce, due = given[at], given[at + 1], due_of(given[at + 3])
  local word, old, cycle, since = 'new', nil, 1, '0-0'
  if not all_new then
    local fine
    fine, word, old, cycle, since = pcall(standing, job_id, nonce)
    if not fine then word, old = 'duplicate', {''} end -- somebody else's key; the other jobs go on
  end
  if word == 'replayed' or word == 'duplicate' then
    answers[index + 1] = {word, old[1], tonumber(old[3]) or 1, old[4] or '0-0'}
  else
    local band, ttl_ms, failure_ttl_ms, data = tonumber(given[at + 2]), given[at + 4], given[at + 5], given[at + 6]
    -- where it is due later, the place keeps the band only; the place in it is given on promotion
    local score = place(math.max(band, C.FRONT_BAND), due and 0 or sequence + index - 1)
    fields = {F.status, due and 'scheduled' or 'queued', F.queue, queue, F.created, stamp, F.place, score}
    size = 8
    if cycle > 1 then
      add(F.cycle, cycle)
      add(F.since, since)
    end
    if band ~= C.NORMAL_BAND and band ~= C.FRONT_BAND then add(F.band, math.abs(band)) end
    if nonce ~= '' then add(F.nonce, nonce) end
    if failure_ttl_ms ~= '' then add(F.failure_ttl, failure_ttl_ms) end
    if given[at + 8] ~= '' then add(F.limit, given[at + 8]) end
    if ttl_ms ~= '' and due then add(F.ttl, ttl_ms) end
    if due then
      local moment = string.format('%.0f', due)
      add(F.due, moment)
      scheduled[#scheduled + 1] = moment
      scheduled[#scheduled + 1] = job_id
      if not earliest or due < earliest then earliest = due end
    else
      if ttl_ms ~= '' then
        local deadline = string.format('%.0f', now + tonumber(ttl_ms))
        add(F.ttl_deadline, deadline)
        call('ZADD', key_ttl(queue), deadline, job_id)
      end
      queued[#queued + 1] = score
      queued[#queued + 1] = job_id
    end
    if #data <= C.CHUNK then
      add(F.call .. '0', data)
    else
      put_blob(fields, F.call, job_id, data)
    end
    if given[at + 7] ~= '' then put_blob(fields, F.meta, job_id, given[at + 7]) end
    call('HSET', key_job(job_id), unpack(fields))
    local status = due and 'scheduled' or 'queued'
    answers[index + 1] = word == 'new' and status or {word, status, cycle, since}
  end
end
-- All of them into their homes; or none of them, where one of these keys is somebody else's.
local function settle_in()
  call('SADD', key_queues(), queue)
  chunked('ZADD', key_home('queued', queue), queued)
  chunked('ZADD', key_home('scheduled', queue), scheduled)
  if #queued > 0 then
    ring(queue, sequence, #queued / 2)
  elseif earliest then
    -- somebody idle must learn of a moment earlier than the one it sleeps for
    local head = call('ZRANGE', key_home('scheduled', queue), 0, 0, 'WITHSCORES')
    if tonumber(head[2]) >= earliest then ring(queue, sequence, 1) end
  end
end
local fine, problem = pcall(settle_in)
if not fine then
  for index = 1, count do
    local job_id, answer = given[3 + (index - 1) * PER_JOB], answers[index + 1]
    if type(answer) ~= 'table' or answer[1] == 'cycle' then
      redis.pcall('ZREM', key_home('queued', queue), job_id)
      redis.pcall('ZREM', key_home('scheduled', queue), job_id)
      redis.pcall('ZREM', key_ttl(queue), job_id)
      call('DEL', key_job(job_id))
      drop_blobs(job_id)
    end
  end
  return redis.error_reply(type(problem) == 'table' and problem.err or tostring(problem))
end
return packed(answers)
