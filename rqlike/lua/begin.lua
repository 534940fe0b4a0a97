--- @flags allow-oom
-- begin: claims one queued job by its id, for a caller that runs it in its own process.
-- KEYS: prefix   ARGV: now, job id, worker, token, lease_ms
-- Answers: now, {{job_id, fields}} or {}   Refuses: nothing. The same token again is answered the same.
--- @include now
--- @include grant
local job_id, worker, token, lease_ms = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local flat = load_job(job_id)
if get(flat, F.token) == token then return {now, {{job_id, flat}}} end
if not allowed('claim', get(flat, F.status)) then return {now, {}} end
local queue = get(flat, F.queue)
local home = key_home('queued', queue)
local score = redis.call('ZSCORE', home, job_id)
redis.call('ZREM', home, job_id)
if redis.call('ZCARD', home) == 0 then redis.call('DEL', key_markers(queue)) end
return {now, {grant(job_id, flat, queue, score, worker, token, lease_ms)}}
