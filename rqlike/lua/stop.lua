--- @flags allow-oom
-- stop: marks a started job and tells its worker to kill the horse.
-- KEYS: prefix   ARGV: now, job id
-- Answers: 'started'   Refuses: NOJOB; WRONGSTATE status
--- @include now
--- @include allowed
--- @include ask
local job_id = ARGV[2]
local status = redis.call('HGET', key_job(job_id), F.status)
if not status then return redis.error_reply('NOJOB') end
if not allowed('stop', status) then return redis.error_reply('WRONGSTATE ' .. status) end
ask(job_id, 'stopped')
return status
