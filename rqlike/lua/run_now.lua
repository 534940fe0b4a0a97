-- run_now: a job from the template of a schedule, beside its slots.
-- KEYS: prefix   ARGV: now, key, job id
-- Answers: id of the job; of another one where that holds its unique key and is what is wanted then
-- Refuses: NOSCHEDULE; HELD status id, where another job holds its unique key. The same job id again is answered the same.
--- @include now
--- @include create
--- @include ring
local key, job_id = ARGV[2], ARGV[3]
local template = call('HMGET', key_schedule(key), unpack(TEMPLATE_FIELDS))
if not template[2] then return redis.error_reply('NOSCHEDULE') end
if call('EXISTS', key_job(job_id), key_results(job_id)) == 0 then
  local sequence = next_sequence(1)
  local holder, is_queued = create(job_id, template, sequence)
  if holder and template[9] == 'return' then return holder end
  if holder then
    local status = redis.pcall('HGET', key_job(holder), F.status)
    return redis.error_reply('HELD ' .. (type(status) == 'string' and status or '-') .. ' ' .. holder)
  end
  if is_queued then ring(template[1], sequence, 1) end
  remember(key, '- ' .. stamp .. ' ' .. job_id)
end
return job_id
