--- @flags allow-oom
-- begin: claims one queued job by its id, for a caller that runs it in its own process. A pause does not hold it: that is
-- for workers.
-- KEYS: prefix   ARGV: now, job id, worker, token, lease_ms
-- Answers: now, {{job_id, fields before, attempt, token}} or {}; where this very call has claimed it before, {{job_id,
--          fields}}   Refuses: nothing.
--- @include now
--- @include load
--- @include get
--- @include grant
--- @include happened
local job_id, worker, token, lease_ms = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local flat = load_job(job_id)
if get(flat, F.token) == token then return {now, {{job_id, flat}}} end
local status = get(flat, F.status)
if not allowed('claim', status) then return {now, {}} end
local queue = get(flat, F.queue)
local home = key_home('queued', queue)
local attempt = grant(job_id, get(flat, F.attempt), worker, token) -- first: it may refuse what is stored of the job
call('ZREM', home, job_id)
local notice = get(flat, F.notice)
if notice then -- as in `take`
  redis.pcall('XDEL', key_results(job_id), notice)
  call('HDEL', key_job(job_id), F.notice)
end
if get(flat, F.ttl_deadline) then call('ZREM', key_ttl(queue), job_id) end
if call('EXISTS', home) == 0 then call('DEL', key_markers(queue)) end
call('ZADD', key_home('started', queue), string.format('%.0f', now + lease_ms), job_id)
happened('claim', queue, job_id, 'started', get(flat, F.cycle), attempt, nil, worker)
return {now, {{job_id, flat, attempt, token}}}
