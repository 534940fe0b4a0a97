--- @flags no-writes
-- told: what a job has told while it ran. Reads only.
-- KEYS: prefix   ARGV: now, job id, number of lines
-- Answers: {cycle, attempt, '' both where there is no such job}, {newest progress}, {newest lines, newest first}
local job_id, lines = ARGV[2], tonumber(ARGV[3])
local got = redis.pcall('HMGET', key_job(job_id), F.cycle, F.attempt, F.status)
if got.err or not got[3] then return {{'', ''}, {}, {}} end
return {{got[1] or '1', got[2] or '0'}, call('XREVRANGE', key_live(job_id), '+', '-', 'COUNT', 1),
  lines > 0 and call('XREVRANGE', key_log(job_id), '+', '-', 'COUNT', lines) or {}}
