--- @include now
-- grant(job_id, attempt, worker, token): a claimed job is started: token, worker, moment, attempt. The caller has asked
-- `allowed` and puts it into its home. attempt: the last one, nil none yet. Answers the one that begins. Who is granted a
-- job is told what was stored of it before, that number and the token, and knows the rest.
local function grant(job_id, attempt, worker, token)
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
  return attempt
end
