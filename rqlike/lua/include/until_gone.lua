--- @include firmly
-- until_gone(job_id): a job that has ended without success is kept, and others wait until it is run again: the moment at
-- which it is forgotten is noted, since they are to be told then.
local function until_gone(job_id)
  local expires_at = call('PEXPIRETIME', key_job(job_id))
  if expires_at > 0 then firmly('ZADD', key_unsettled(), string.format('%.0f', expires_at + 1), '- gone ' .. job_id) end
end
