--- @include now
-- grant(job_id, flat, attempt, worker, token): a claimed job is started: token, worker, moment, attempt. The caller has
-- asked `allowed` and puts it into its home. `flat`, the fields as they were, is made what they are now: where a field
-- comes twice in it, the later one holds.
local function grant(job_id, flat, attempt, worker, token)
  if attempt and attempt ~= '0' then
    local next_one = attempt + 1
    -- one that never grows, or never was so high, would be tried for ever
    if not (next_one >= 1 and next_one < 1e10) then error('its attempt is none', 0) end
    attempt = string.format('%.0f', next_one)
  else
    attempt = '1'
  end
  call('HSET', key_job(job_id), F.status, 'started', F.token, token, F.worker, worker, F.started, stamp,
    F.attempt, attempt)
  local size = #flat
  flat[size + 1], flat[size + 2], flat[size + 3], flat[size + 4] = F.status, 'started', F.token, token
  flat[size + 5], flat[size + 6], flat[size + 7], flat[size + 8] = F.worker, worker, F.started, stamp
  flat[size + 9], flat[size + 10] = F.attempt, attempt
end
