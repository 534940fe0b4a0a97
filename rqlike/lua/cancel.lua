--- @flags allow-oom
-- cancel: a waiting job never starts; a started one is marked, and its worker is told to kill the horse.
-- KEYS: prefix   ARGV: now, job id, nonce, and where it is to be canceled only while it waits, in this cycle: its number
-- Answers: status it is in now ('started' where the worker has yet to act)
-- Refuses: NOJOB; WRONGSTATE status
--- @include leave
--- @include ask
local job_id, nonce = ARGV[2], ARGV[3]
local job = load_leaving(job_id)
if not job then return redis.error_reply('NOJOB') end
if not allowed('cancel', job.status) then
  local newest = newest_entry(job_id)
  if newest and entry_field(newest, E.notice) and entry_answers(newest, nonce) then return job.status end
  if call('HGET', key_job(job_id), F.act) == nonce then return job.status end
  if ARGV[4] then return job.status end
  return redis.error_reply('WRONGSTATE ' .. job.status)
end
if ARGV[4] then
  -- one that waits for its next attempt has been started
  local begun = job.status == 'started' or (call('HGET', key_job(job_id), F.attempt) or '0') ~= '0'
  if begun or ARGV[4] ~= (job.cycle or '1') then return job.status end
end
if job.status == 'started' then
  ask(job_id, 'canceled')
  call('HSET', key_job(job_id), F.act, nonce) -- whose wish it was, for when the job has ended by it
  return 'started'
end
leave('cancel', job_id, job, 'canceled', nonce)
return 'canceled'
