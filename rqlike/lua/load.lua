--- @flags no-writes
-- load: jobs as they are. Reads only.
-- KEYS: prefix   ARGV: now, job id…
-- Answers: {fields per job, empty where there is none; a field without a name says what is wrong with it}
--- @include load
local jobs = {}
for at = 2, #ARGV do
  local fine, flat = pcall(load_job, ARGV[at])
  jobs[#jobs + 1] = fine and flat or {'', type(flat) == 'table' and flat.err or tostring(flat)}
end
return jobs
