--- @include now
--- @include place
--- @include ring
--- @include move
--- @include blob
--- @include entry
--- @include end
--- @include leave
-- Carries out one verdict on one execution. The verdict was made by the worker; here it is only written, and only
-- by the holder of the current token. A verdict sent again finds its entry in the stream and is answered 'already' with
-- the entry's id.

-- An execution may also be on record because another worker judged it as abandoned: that is not what this one says,
-- so its outcome is 'stale', and nothing that follows from it (callbacks) may happen.
local function trace_of(v)
  local mine = {nil, v.entry}
  for _, entry in ipairs(redis.call('XREVRANGE', key_results(v.job_id), '+', '-')) do
    if entry_field(entry, E.execution) == v.execution then
      local same = entry_field(entry, E.type) == entry_field(mine, E.type)
        and entry_field(entry, E.reason) == entry_field(mine, E.reason)
      return same and 'already ' .. entry[1] or 'stale'
    end
  end
  return nil
end

-- The verdict's fields, in the order of `verbs.settlement`.
local function read_verdict(at)
  local v = {job_id = ARGV[at], token = ARGV[at + 1], execution = ARGV[at + 2], verb = ARGV[at + 3],
    to = ARGV[at + 4], ttl_ms = tonumber(ARGV[at + 5]), delay_ms = tonumber(ARGV[at + 6]),
    band = tonumber(ARGV[at + 7]), crashes = ARGV[at + 8], entry = {}}
  local size = tonumber(ARGV[at + 9])
  for field = at + 10, at + 9 + size do v.entry[#v.entry + 1] = ARGV[field] end
  return v, at + 10 + size
end

local function load_started(job_id)
  local got = redis.call('HMGET', key_job(job_id), F.status, F.token, F.queue, F.place, F.attempt, F.cycle, F.asked,
    F.nonce, F.repeats, F.ttl_deadline, F.call .. '#', F.meta .. '#', F.overrides .. '#', F.result_ttl)
  return {status = got[1], token = got[2], queue = got[3], place = got[4], attempt = tonumber(got[5]) or 0,
    cycle = tonumber(got[6]) or 1, asked = got[7], nonce = got[8], repeats = tonumber(got[9]) or 0,
    deadline = got[10], blobs = got[11] or got[12] or got[13], result_ttl = tonumber(got[14])}
end

-- Back to its old place, free; an operator who asked for its end meanwhile gets it.
local function give_back(v, job)
  redis.call('ZREM', key_home('started', job.queue), v.job_id)
  local fields = {F.attempt, job.attempt - 1}
  enter('give_back', v.job_id, job.queue, job.status, 'queued', job.place, fields)
  redis.call('HDEL', key_job(v.job_id), F.token, F.worker, F.started, F.asked, F.lapsed)
  if job.asked then
    leave('cancel', v.job_id, load_leaving(v.job_id), 'canceled')
  else
    if job.deadline and job.attempt <= 1 then redis.call('ZADD', key_ttl(job.queue), job.deadline, v.job_id) end
    ring(job.queue, next_sequence(1), 1)
  end
  return 'ok'
end

-- Another attempt or another cycle of the same job, now or later; not where an operator has asked for its end.
local function go_on(v, job, fields)
  local sequence = next_sequence(1)
  local score = place(v.band, sequence)
  fields[#fields + 1] = F.place
  fields[#fields + 1] = score
  redis.call('HDEL', key_job(v.job_id), F.token, F.asked, F.ttl_deadline, F.lapsed)
  if v.to == 'scheduled' then
    local due = string.format('%.0f', now + v.delay_ms)
    fields[#fields + 1] = F.due
    fields[#fields + 1] = due
    enter(v.verb, v.job_id, job.queue, job.status, 'scheduled', due, fields)
    local head = redis.call('ZRANGE', key_home('scheduled', job.queue), 0, 0)
    if head[1] == v.job_id and not job.asked then ring(job.queue, sequence, 1) end
  else
    enter(v.verb, v.job_id, job.queue, job.status, 'queued', score, fields)
    if not job.asked then ring(job.queue, sequence, 1) end
  end
  if job.asked then leave('cancel', v.job_id, load_leaving(v.job_id), 'canceled') end
end

local function finish_for_good(v, job, fields)
  fields[#fields + 1] = F.ended
  fields[#fields + 1] = now
  enter(v.verb, v.job_id, job.queue, job.status, v.to, expiry(v.ttl_ms), fields)
  redis.call('HDEL', key_job(v.job_id), F.token, F.place, F.asked, F.ttl_deadline, F.lapsed)
  if v.ttl_ms >= 0 then date(v.job_id, string.format('%.0f', now + v.ttl_ms), job.blobs) end
end

-- result_ttl=0: the job is gone at once; its entry stays readable for 5 s, for waiters and for calls sent again.
local function vanish(v, job)
  redis.call('DEL', key_job(v.job_id))
  if job.blobs then drop_blobs(v.job_id) end
  redis.call('PEXPIRE', key_results(v.job_id), C.GRACE_MS)
end

local function settle(v)
  local job = load_started(v.job_id)
  if job.token ~= v.token then
    return trace_of(v) or (job.status and 'stale' or 'gone')
  end
  if not allowed(v.verb, job.status) then return 'stale' end
  if v.verb == 'give_back' then return give_back(v, job) end
  redis.call('ZREM', key_home('started', job.queue), v.job_id)
  if v.verb == 'finish' and job.result_ttl then -- it was changed, perhaps since the claim
    v.ttl_ms, v.to = job.result_ttl, job.result_ttl == 0 and 'gone' or 'finished'
  end
  local entry = v.entry
  if v.to == 'gone' then
    entry[#entry + 1] = E.nonce
    entry[#entry + 1] = job.nonce or ''
  end
  local id = append(v.job_id, entry, job.cycle == 1 and job.attempt <= 1)
  if v.to == 'gone' then
    vanish(v, job)
  elseif v.verb == 'retry' then
    go_on(v, job, {F.crashes, v.crashes})
  elseif v.verb == 'repeat' then
    go_on(v, job, {F.crashes, 0, F.attempt, 0, F.cycle, job.cycle + 1, F.since, id, F.repeats, job.repeats + 1})
  else
    finish_for_good(v, job, {})
  end
  return 'ok ' .. id
end
