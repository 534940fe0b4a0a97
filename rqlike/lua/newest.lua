--- @flags no-writes
-- newest: the newest execution of each job, with what its callbacks left. Reads only.
-- KEYS: prefix   ARGV: now, job id…
-- Answers: per job {entries: the newest two, newest first; the second where the first is a notice},
--          {field, text} of the callback errors of these
--- @include entry
local out = {}
for at = 2, #ARGV do
  local job_id, errors = ARGV[at], {}
  local entries = redis.pcall('XREVRANGE', key_results(job_id), '+', '-', 'COUNT', 2)
  if entries.err then entries = {} end -- no stream: nothing that could be told of it
  for _, entry in ipairs(entries) do
    local field = F.callback_error .. (entry_field(entry, E.execution) or '')
    local text = redis.pcall('HGET', key_job(job_id), field)
    if type(text) == 'string' then
      errors[#errors + 1] = field
      errors[#errors + 1] = text
    end
  end
  out[#out + 1] = {entries, errors}
end
return out
