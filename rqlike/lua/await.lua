--- @flags allow-oom
-- await: a started job says for which job it waits, so that others see when nobody is left to run that one.
-- KEYS: prefix   ARGV: now, job id, its token, id of the job it waits for ('' for none any more), for how many ms
--       ('' without limit)
-- Answers: 1 written | 0 it is not this execution's to say
--- @include now
local job_id, token, awaited, for_ms = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local key = key_job(job_id)
if redis.pcall('HGET', key, F.token) ~= token then return 0 end
if awaited == '' then
  call('HDEL', key, F.awaits)
else
  local until_ms = for_ms == '' and '-' or string.format('%.0f', now + for_ms)
  call('HSET', key, F.awaits, token .. ' ' .. until_ms .. ' ' .. awaited)
end
return 1
