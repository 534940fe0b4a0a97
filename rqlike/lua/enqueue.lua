-- enqueue: new jobs, or new cycles of jobs that ended, into one queue.
-- Needs: deny-oom, so that a full server refuses the whole call and the producer hears of it.
-- KEYS: prefix
-- ARGV: now, queue, then per job: id, nonce ('' where rqlike made the id), band, due ('' at once | '+ms' from now |
--       ms of the epoch), ttl_ms, failure_ttl_ms ('' default), call, meta
-- Answers: now, then per job {word, status, cycle, since}; word is new | cycle | replayed | duplicate
-- Refuses: nothing; a live job under the same id is the answer 'duplicate', and the other jobs go on.
--- @include now
--- @include place
--- @include ring
--- @include move
--- @include blob
--- @include entry
local PER_JOB = 8
local queue = ARGV[2]
local count = (#ARGV - 2) / PER_JOB
local sequence = next_sequence(count)
local answers = {now}
local queued, earliest = 0, nil

-- What an id already stands for: nothing | the same call once more | a live job | a job that ended.
local function standing(job_id, nonce)
  local got = redis.call('HMGET', key_job(job_id), F.status, F.nonce, F.cycle, F.since, F.queue)
  if got[1] then
    if nonce == (got[2] or '') then return 'replayed', got end
    return allowed('enqueue', got[1]) and 'cycle' or 'duplicate', got
  end
  local trace = newest_entry(job_id)
  if not trace then return 'new', got end
  -- the stream of a job that is gone outlives it by 5 s: a call sent again finds it, another one starts afresh
  if entry_answers(trace, nonce) then
    return 'replayed', {'finished', nonce, entry_field(trace, E.cycle) or 1, '0-0'}
  end
  redis.call('DEL', key_results(job_id))
  return 'new', got
end

-- A new cycle keeps the history, without the notice by which the last cycle may have ended.
local function begin_cycle(job_id, old)
  local stream = key_results(job_id)
  local newest = newest_entry(job_id)
  if newest and entry_field(newest, E.notice) then redis.call('XDEL', stream, newest[1]) end
  redis.call('PERSIST', stream)
  redis.call('ZREM', key_home(old[1], old[5]), job_id)
  redis.call('DEL', key_job(job_id))
  drop_blobs(job_id)
  return (tonumber(old[3]) or 1) + 1, newest and newest[1] or '0-0'
end

local function due_of(word)
  if word == '' then return nil end
  if string.sub(word, 1, 1) == '+' then return now + tonumber(string.sub(word, 2)) end
  return tonumber(word)
end

for index = 0, count - 1 do
  local at = 3 + index * PER_JOB
  local job_id, nonce, band, due = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2]), due_of(ARGV[at + 3])
  local ttl_ms, failure_ttl_ms = ARGV[at + 4], ARGV[at + 5]
  local word, old = standing(job_id, nonce)
  if word == 'replayed' or word == 'duplicate' then
    answers[#answers + 1] = {word, old[1], tonumber(old[3]) or 1, old[4] or '0-0'}
  else
    local cycle, since, from = 1, '0-0', nil
    if word == 'cycle' then
      cycle, since = begin_cycle(job_id, old)
      from = old[1]
    end
    local score = place(band, sequence + index)
    local fields = {F.queue, queue, F.created, now}
    if cycle > 1 then
      fields[5], fields[6], fields[7], fields[8] = F.cycle, cycle, F.since, since
    end
    local function add(field, value)
      fields[#fields + 1] = field
      fields[#fields + 1] = value
    end
    if nonce ~= '' then add(F.nonce, nonce) end
    if failure_ttl_ms ~= '' then add(F.failure_ttl, failure_ttl_ms) end
    put_blob(fields, F.call, job_id, ARGV[at + 6])
    if ARGV[at + 7] ~= '' then put_blob(fields, F.meta, job_id, ARGV[at + 7]) end
    if due then
      add(F.due, string.format('%.0f', due))
      add(F.place, place(band, 0)) -- keeps the band; the place in it is given on promotion
      if ttl_ms ~= '' then add(F.ttl, ttl_ms) end
      enter('enqueue', job_id, queue, from, 'scheduled', string.format('%.0f', due), fields)
      if not earliest or due < earliest then earliest = due end
    else
      add(F.place, score)
      if ttl_ms ~= '' then
        local deadline = string.format('%.0f', now + tonumber(ttl_ms))
        add(F.ttl_deadline, deadline)
        redis.call('ZADD', key_ttl(queue), deadline, job_id)
      end
      enter('enqueue', job_id, queue, from, 'queued', score, fields)
      queued = queued + 1
    end
    answers[#answers + 1] = {word, due and 'scheduled' or 'queued', cycle, since}
  end
end
redis.call('SADD', key_queues(), queue)
if queued > 0 then
  ring(queue, sequence, queued)
elseif earliest then
  -- somebody idle must learn of a moment earlier than the one it sleeps for
  local head = redis.call('ZRANGE', key_home('scheduled', queue), 0, 0, 'WITHSCORES')
  if tonumber(head[2]) >= earliest then ring(queue, sequence, 1) end
end
return answers
