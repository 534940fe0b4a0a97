--- @flags allow-oom
-- await: a started job says for which job it waits, so that others see when nobody is left to run that one.
-- KEYS: prefix   ARGV: now, job id, its token, id of the job it waits for ('' for none any more)
-- Answers: 1 written | 0 it is not this execution's to say
local job_id, token, awaited = ARGV[2], ARGV[3], ARGV[4]
local key = key_job(job_id)
if redis.pcall('HGET', key, F.token) ~= token then return 0 end
if awaited == '' then call('HDEL', key, F.awaits) else call('HSET', key, F.awaits, token .. ' ' .. awaited) end
return 1
