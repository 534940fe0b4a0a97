--- @flags no-writes
-- find: where a job stands in the home of its status. Reads only.
-- KEYS: prefix   ARGV: now, job id
-- Answers: status ('' where there is none), queue, rank, score
local job_id = ARGV[2]
local got = call('HMGET', key_job(job_id), F.status, F.queue)
if not got[1] then return {'', '', -1, ''} end
local home = key_home(got[1], (got[2] or ''))
return {got[1], got[2] or '', call('ZRANK', home, job_id) or -1, call('ZSCORE', home, job_id) or ''}
