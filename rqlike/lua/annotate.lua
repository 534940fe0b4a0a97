--- @flags allow-oom
-- annotate: how a callback of one execution failed, beside the history; a job that is gone stays gone.
-- KEYS: prefix   ARGV: now, job id, execution, text
-- Answers: 1 written | 0 the job is gone
local key = key_job(ARGV[2])
if redis.call('EXISTS', key) == 0 then return 0 end
redis.call('HSET', key, F.callback_error .. ARGV[3], ARGV[4])
return 1
