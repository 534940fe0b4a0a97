--- @include now
-- grant(job_id, flat, attempt, worker, token): a claimed job is started: token, worker, moment, attempt. The caller has
-- asked `allowed` and puts it into its home. `flat`, the fields as they were, is made what they are now: where a field
-- comes twice in it, the later one holds.
local function grant(job_id, flat, attempt, worker, token)
  attempt = attempt and attempt ~= '0' and string.format('%.0f', attempt + 1) or '1'
  call('HSET', key_job(job_id), F.status, 'started', F.token, token, F.worker, worker, F.started, stamp,
    F.attempt, attempt)
  local size = #flat
  flat[size + 1], flat[size + 2], flat[size + 3], flat[size + 4] = F.status, 'started', F.token, token
  flat[size + 5], flat[size + 6], flat[size + 7], flat[size + 8] = F.worker, worker, F.started, stamp
  flat[size + 9], flat[size + 10] = F.attempt, attempt
end
