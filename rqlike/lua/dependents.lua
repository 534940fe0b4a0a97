--- @flags no-writes
-- dependents: the jobs that wait for one to end, 500 at most. Reads only.
-- KEYS: prefix   ARGV: now, job id, rank of the first entry of its list to look at
-- Answers: rank of the first entry that was not looked at ('' there is none), id…
local last = ARGV[3] + C.TOUCH_LIMIT - 1
local edges = call('LRANGE', key_dependents(ARGV[2]), ARGV[3], last)
local out = {#edges == C.TOUCH_LIMIT and last + 1 or ''}
for _, edge in ipairs(edges) do
  local serial, job_id = string.match(edge, '^(%d+) %a+ (.+)$')
  local got = serial and redis.pcall('HMGET', key_job(job_id), F.enrolled, F.status)
  if got and not got.err and got[1] == serial and got[2] == 'deferred' then out[#out + 1] = job_id end
end
return out
