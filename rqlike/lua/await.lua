--- @flags allow-oom
-- await: a started job says for which jobs it waits, so that others see when nobody is left to run one of these.
-- KEYS: prefix   ARGV: now, job id, its token, for how many ms ('' without limit), 'any' the end of any of them is enough |
--       'all', id of each job it waits for (none: it waits no more; ≤ 8)
-- Answers: 1 written | 0 it is not this execution's to say
--- @include now
local job_id, token, for_ms, how = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local key = key_job(job_id)
if redis.pcall('HGET', key, F.token) ~= token then return 0 end
if not ARGV[6] then
  call('HDEL', key, F.awaits)
else
  local until_ms = for_ms == '' and '-' or string.format('%.0f', now + for_ms)
  call('HSET', key, F.awaits,
    token .. ' ' .. until_ms .. ' ' .. how .. ' ' .. table.concat(ARGV, '\n', 6))
end
return 1
