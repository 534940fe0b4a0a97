--- @flags no-writes
-- peek: what a waiter needs to know before it blocks. Reads only.
-- KEYS: prefix   ARGV: now, job id, number of entries
-- Answers: {now, status, cycle, ttl deadline, ttl left of the job in ms}, {newest entries}; '' where there is none
--- @include now
local job_id = ARGV[2]
local got = redis.call('HMGET', key_job(job_id), F.status, F.cycle, F.ttl_deadline)
return {{now, got[1] or '', got[1] and (got[2] or 1) or '', got[3] or '', redis.call('PTTL', key_job(job_id))},
  redis.call('XREVRANGE', key_results(job_id), '+', '-', 'COUNT', ARGV[3])}
