--- @flags allow-oom
-- cancel: a waiting job never starts; a started one is marked, and its worker is told to kill the horse.
-- KEYS: prefix   ARGV: now, job id, nonce
-- Answers: status it is in now ('started' where the worker has yet to act)
-- Refuses: NOJOB; WRONGSTATE status
--- @include leave
--- @include ask
local job_id, nonce = ARGV[2], ARGV[3]
local job = load_leaving(job_id)
if not job then return redis.error_reply('NOJOB') end
if not allowed('cancel', job.status) then
  local newest = newest_entry(job_id)
  if newest and entry_field(newest, E.notice) and entry_field(newest, E.nonce) == nonce then return job.status end
  return redis.error_reply('WRONGSTATE ' .. job.status)
end
if job.status == 'started' then
  ask(job_id, 'canceled')
  return 'started'
end
leave('cancel', job_id, job, 'canceled', nonce)
return 'canceled'
