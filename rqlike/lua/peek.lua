--- @flags no-writes
-- peek: what a waiter needs to know before it blocks. Reads only.
-- KEYS: prefix   ARGV: now, job id, its queue, number of entries
-- Answers: {now, status, cycle, ttl deadline where it can still be missed, 1 where the job is gone and an index still
--          tells that it had ended, created},
--          {newest entries}; '' where there is none
--- @include now
--- @include packed
--- @include allowed
local job_id, queue = ARGV[2], ARGV[3]
local got = call('HMGET', key_job(job_id), F.status, F.cycle, F.ttl_deadline, F.created)
local ended = 0
if not got[1] then
  for _, status in ipairs({'finished', 'failed', 'stopped', 'canceled', 'expired'}) do
    if call('ZSCORE', key_home(status, queue), job_id) then ended = 1 end
  end
end
local deadline = (allowed('expire', got[1]) and got[3]) or ''
return packed({{now, got[1] or '', got[1] and (got[2] or 1) or '', deadline, ended, got[4] or ''},
  call('XREVRANGE', key_results(job_id), '+', '-', 'COUNT', ARGV[4])})
