--- @flags no-writes
-- history: all entries of a job, newest first, and what its callbacks left. Reads only.
-- KEYS: prefix   ARGV: now, job id
-- Answers: {entries}, {fields of the job}
--- @include blob
return {call('XREVRANGE', key_results(ARGV[2]), '+', '-'), call('HGETALL', key_job(ARGV[2]))}
