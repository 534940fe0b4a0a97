--- @include place
--- @include ring
--- @include move
--- @include leave
--- @include append
--- @include wanted
--- @include unique
--- @include put_off
-- The verdicts that are not an end for good: give_back, retry, repeat; and the ends that an operator asked for.

-- A number that counts something; `least` where it is none, or one that never grows.
local function counted(text, least)
  local number = tonumber(text)
  return number and number >= least and number < 1e10 and number or least
end

local function load_started(job_id)
  local got = call('HMGET', key_job(job_id), F.status, F.queue, F.place, F.attempt, F.cycle, F.asked, F.repeats,
    F.ttl_deadline, F.call .. '#', F.meta .. '#', F.overrides .. '#', F.limit, F.unique, F.wanted, F.dependents, F.told)
  return {status = got[1], queue = got[2], place = got[3], attempt = counted(got[4], 0),
    cycle = counted(got[5], 1), asked = got[6], repeats = counted(got[7], 0), deadline = got[8],
    blobs = got[9] or got[10] or got[11], limit = got[12], unique = got[13], wanted = got[14], dependents = got[15],
    told = got[16]}
end

-- Back to its old place, free; an operator who asked for its end meanwhile gets it.
local function give_back(job_id, job)
  local score = job.place or place(C.NORMAL_BAND, next_sequence(1))
  enter('give_back', job_id, job.queue, job.status, 'queued', score, {F.attempt, job.attempt - 1}, job.cycle,
    job.attempt - 1, nil, ARGV[2])
  call('HDEL', key_job(job_id), F.token, F.worker, F.started, F.asked, F.lapsed)
  if job.asked then
    leave('cancel', job_id, load_leaving(job_id), 'canceled')
  else
    if job.deadline and job.attempt <= 1 then call('ZADD', key_ttl(job.queue), job.deadline, job_id) end
    ring(job.queue, next_sequence(1), 1)
  end
  return 'ok'
end

-- Another attempt or another cycle of the same job, now or later; not where an operator has asked for its end.
local function go_on(at, job, fields)
  local job_id, verb, sequence = ARGV[at], ARGV[at + 3], next_sequence(1)
  local score = place(tonumber(ARGV[at + 7]), sequence)
  fields[#fields + 1] = F.place
  fields[#fields + 1] = score
  call('HDEL', key_job(job_id), F.token, F.asked, F.ttl_deadline, F.lapsed)
  if ARGV[at + 4] == 'scheduled' then
    local due = string.format('%.0f', now + ARGV[at + 6])
    fields[#fields + 1] = F.due
    fields[#fields + 1] = due
    enter(verb, job_id, job.queue, job.status, 'scheduled', due, fields, job.cycle, job.attempt, job.reason, job.worker)
    local head = call('ZRANGE', key_home('scheduled', job.queue), 0, 0)
    if head[1] == job_id and not job.asked then ring(job.queue, sequence, 1) end
  else
    enter(verb, job_id, job.queue, job.status, 'queued', score, fields, job.cycle, job.attempt, job.reason, job.worker)
    if not job.asked then ring(job.queue, sequence, 1) end
  end
  if job.asked then leave('cancel', job_id, load_leaving(job_id), 'canceled') end
end

local function end_for_good(at, job)
  local job_id, moment = ARGV[at], expiry(tonumber(ARGV[at + 5]))
  if job.wanted then
    moment = no_earlier(moment, job.wanted)
  end
  if job.unique then
    let_go(job_id, job.unique)
  end
  enter(ARGV[at + 3], job_id, job.queue, job.status, ARGV[at + 4], moment, {F.ended, stamp}, job.cycle, job.attempt,
    job.reason, job.worker)
  call('HDEL', key_job(job_id), F.token, F.place, F.asked, F.ttl_deadline, F.lapsed)
  if moment ~= '+inf' then date(job_id, moment, job.blobs, job.told) end
  return moment
end

local function tell_later(job_id, job, outcome, moment)
  if not job.dependents then return end
  put_off(job_id, outcome, moment)
  untold = true
end

local function go_on_or_back(at, stop)
  local job_id, verb = ARGV[at], ARGV[at + 3]
  local job = load_started(job_id)
  if not allowed(verb, job.status) then return 'stale' end
  call('ZREM', key_home('started', job.queue), job_id)
  if job.limit then
    --- @include release
    release(job_id, job.limit, verb == 'give_back')
  end
  if verb == 'give_back' then return give_back(job_id, job) end
  local id, _, _, reason, worker = append(job_id, at + 10, stop - 1)
  job.reason, job.worker = reason, worker
  if verb == 'retry' then
    go_on(at, job, {F.crashes, ARGV[at + 8]})
  elseif verb == 'repeat' then
    tell_later(job_id, job, 'finished')
    go_on(at, job, {F.crashes, 0, F.attempt, 0, F.cycle, job.cycle + 1, F.since, id, F.repeats, job.repeats + 1})
  else
    tell_later(job_id, job, job.dependents == C.TELL_AS_FINISHED and 'finished' or 'failed', end_for_good(at, job))
  end
  return 'ok ' .. id
end
