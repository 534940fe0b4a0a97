--- @include allowed
--- @include happened
-- The only place that writes a status, beside `settle` and `grant`, which write that of many jobs at once. The caller
-- has checked `allowed` before its first write and has taken the job out of the home it was in; this puts it into the
-- next one, and tells of it: cycle, attempt, reason and worker are for the event.
local function enter(verb, job_id, queue, from, to, score, fields, cycle, attempt, reason, worker)
  if not allowed(verb, from) then
    error('BUG ' .. verb .. ' of a job that is ' .. (from or 'nowhere'))
  end
  call('ZADD', key_home(to, queue), score, job_id)
  call('HSET', key_job(job_id), F.status, to, unpack(fields))
  happened(verb, queue, job_id, to, cycle, attempt, reason, worker)
end
