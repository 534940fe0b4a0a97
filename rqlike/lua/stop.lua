--- @flags allow-oom
-- stop: marks a started job and tells its worker to kill the horse.
-- KEYS: prefix   ARGV: now, job id, nonce
-- Answers: 'started'   Refuses: NOJOB; WRONGSTATE status. The same nonce again is answered the same, until another act.
--- @include allowed
--- @include ask
local job_id, nonce = ARGV[2], ARGV[3]
local got = call('HMGET', key_job(job_id), F.status, F.act)
if not got[1] then return redis.error_reply('NOJOB') end
if nonce ~= '' and got[2] == nonce then return 'started' end
if not allowed('stop', got[1]) then return redis.error_reply('WRONGSTATE ' .. got[1]) end
ask(job_id, 'stopped')
if nonce ~= '' then call('HSET', key_job(job_id), F.act, nonce) end
return 'started'
