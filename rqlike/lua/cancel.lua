--- @flags allow-oom
-- cancel: a waiting job never starts; a started one is marked, and its worker is told to kill the horse.
-- KEYS: prefix
-- ARGV: now, job id, nonce, number of the cycle in which alone, and while it waits, it is to be canceled ('' in any), what
--       becomes of the jobs that wait for it ('run' they go on as if it had finished | '' as each of them says)
-- Answers: status it is in now ('started' where the worker has yet to act)
-- Refuses: NOJOB; WRONGSTATE status
--- @include leave
--- @include ask
local job_id, nonce, cycle = ARGV[2], ARGV[3], ARGV[4]
local job = load_leaving(job_id)
if not job then return redis.error_reply('NOJOB') end
if not allowed('cancel', job.status) then
  local newest = newest_entry(job_id)
  if newest and entry_field(newest, E.notice) and entry_answers(newest, nonce) then return job.status end
  if cycle ~= '' or call('HGET', key_job(job_id), F.act) == nonce then return job.status end
  return redis.error_reply('WRONGSTATE ' .. job.status)
end
if cycle ~= '' then
  -- one that waits for its next attempt has been started
  local begun = job.status == 'started' or (call('HGET', key_job(job_id), F.attempt) or '0') ~= '0'
  if begun or cycle ~= (job.cycle or '1') then return job.status end
end
if ARGV[5] == 'run' and job.dependents then
  call('HSET', key_job(job_id), F.dependents, C.TELL_AS_FINISHED)
  job.dependents = C.TELL_AS_FINISHED
end
if job.status == 'started' then
  ask(job_id, 'canceled')
  call('HSET', key_job(job_id), F.act, nonce) -- whose wish it was, for when the job has ended by it
  return 'started'
end
leave('cancel', job_id, job, 'canceled', nonce)
if job.dependents then
  --- @include told
  tell_now()
end
return 'canceled'
