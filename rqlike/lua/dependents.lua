--- @flags no-writes
-- dependents: the jobs that wait for one to end. Reads only.
-- KEYS: prefix   ARGV: now, job id
-- Answers: {id…}
local out = {}
for _, edge in ipairs(call('LRANGE', key_dependents(ARGV[2]), 0, -1)) do
  local serial, job_id = string.match(edge, '^(%d+) %a+ (.+)$')
  if serial and redis.pcall('HGET', key_job(job_id), F.enrolled) == serial then out[#out + 1] = job_id end
end
return out
