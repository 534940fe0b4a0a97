--- @flags allow-oom
-- expire: a waiter's own way to end a job whose ttl is over while no worker is there to do it.
-- KEYS: prefix   ARGV: now, job id
-- Answers: the status it is in now   Refuses: NOJOB
--- @include leave
local job_id = ARGV[2]
local job = load_leaving(job_id)
if not job then return redis.error_reply('NOJOB') end
if job.deadline and tonumber(job.deadline) <= now and allowed('expire', job.status) then
  leave('expire', job_id, job, 'expired')
  if job.dependents then
    --- @include told
    tell_now()
  end
  return 'expired'
end
return job.status
