--- @flags allow-oom
-- annotate: how a callback of one execution failed, beside the history; a job that is gone stays gone.
-- KEYS: prefix   ARGV: now, job id, execution, text
-- Answers: 1 written | 0 the job is gone
--- @include entry
local job_id, execution, text = ARGV[2], ARGV[3], ARGV[4]
local key = key_job(job_id)
if call('EXISTS', key) == 0 then return 0 end
-- what was left of executions that are out of the history goes with them, or a job that retries for ever would grow
local kept = {}
for _, entry in ipairs(call('XREVRANGE', key_results(job_id), '+', '-')) do
  kept[F.callback_error .. (entry_field(entry, E.execution) or '')] = true
end
for _, field in ipairs(call('HKEYS', key)) do
  if string.sub(field, 1, 1) == F.callback_error and not kept[field] then call('HDEL', key, field) end
end
call('HSET', key, F.callback_error .. execution, text)
return 1
