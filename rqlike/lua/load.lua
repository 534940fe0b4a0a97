--- @flags no-writes
-- load: jobs as they are. Reads only.
-- KEYS: prefix   ARGV: now, job id…
-- Answers: {fields per job, empty where there is none}
--- @include load
local jobs = {}
for at = 2, #ARGV do jobs[#jobs + 1] = load_job(ARGV[at]) end
return jobs
