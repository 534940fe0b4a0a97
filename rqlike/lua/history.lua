--- @flags no-writes
-- history: all entries of a job, newest first, and what its callbacks left. Reads only.
-- KEYS: prefix   ARGV: now, job id
-- Answers: {entries}, {fields of the job}
local fields = redis.pcall('HGETALL', key_job(ARGV[2]))
return {call('XREVRANGE', key_results(ARGV[2]), '+', '-', 'COUNT', 100), fields.err and {} or fields}
