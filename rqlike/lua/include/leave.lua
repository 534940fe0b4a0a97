--- @gives leave, load_leaving
--- @include now
--- @include move
--- @include entry
--- @include end
--- @include wanted
--- @include unique
--- @include put_off
--- @include summon
-- leave(verb, job_id, job, to, nonce, reason): a job that does not run ends as canceled or expired, with a notice.
-- job: status, queue, cycle, failure_ttl as in LEAVE_FIELDS; the caller has asked `allowed`.
function load_leaving(job_id)
  local got = call('HMGET', key_job(job_id), F.status, F.queue, F.cycle, F.failure_ttl, F.ttl_deadline,
    F.call .. '#', F.meta .. '#', F.overrides .. '#', F.limit, F.unique, F.wanted, F.dependents, F.told, F.attempt)
  if not got[1] then return nil end
  return {status = got[1], queue = got[2], cycle = got[3], failure_ttl = got[4], deadline = got[5],
    blobs = got[6] or got[7] or got[8], limit = got[9], unique = got[10], wanted = got[11], dependents = got[12],
    told = got[13], attempt = got[14]}
end

function leave(verb, job_id, job, to, nonce, reason)
  local moment = expiry(tonumber(job.failure_ttl))
  if job.wanted then
    moment = no_earlier(moment, job.wanted)
  end
  call('ZREM', key_home(job.status, job.queue), job_id)
  if job.deadline then call('ZREM', key_ttl(job.queue), job_id) end
  local limit_key = job.limit and string.match(job.limit, '^%d+ %d+ %d+ %d+ (.+)$')
  if limit_key and redis.pcall('ZREM', key_waiting(limit_key), job_id) == 1 -- it was held back
    and call('EXISTS', key_waiting(limit_key)) == 0 then
    redis.pcall('ZREM', key_limits(), limit_key) -- nobody is to look at it any more
  end
  if job.unique then
    let_go(job_id, job.unique)
  end
  if call('ZCARD', key_home('queued', job.queue)) == 0 then call('DEL', key_markers(job.queue)) end
  notify(job_id, to, job.cycle, nonce, reason)
  enter(verb, job_id, job.queue, job.status, to, moment, {F.ended, now}, job.cycle, job.attempt, reason)
  call('HDEL', key_job(job_id), F.place, F.due, F.ttl_deadline, F.asked, F.token, F.needs, F.enrolled)
  if moment ~= '+inf' then date(job_id, moment, job.blobs, job.told) end
  if job.dependents then
    put_off(job_id, job.dependents == C.TELL_AS_FINISHED and 'finished' or 'failed', moment)
    if not reason then summon(now) end -- where there is one, the caller is about to tell them
  end
end
