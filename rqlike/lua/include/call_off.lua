--- @include leave
--- @include ask
-- call_off(job_id, nonce, cycle, run): cancels one job, as `cancel` says. Answers the status it is in now, whether others
-- are to be told; or nil, and why it was refused.
local function call_off(job_id, nonce, cycle, run)
  local job = load_leaving(job_id)
  if not job then return nil, 'NOJOB' end
  if not allowed('cancel', job.status) then
    local newest = newest_entry(job_id)
    if newest and entry_field(newest, E.notice) and entry_answers(newest, nonce) then return job.status end
    if cycle ~= '' or call('HGET', key_job(job_id), F.act) == nonce then return job.status end
    return nil, 'WRONGSTATE ' .. job.status
  end
  if cycle ~= '' then
    -- one that waits for its next attempt has been started
    local begun = job.status == 'started' or (call('HGET', key_job(job_id), F.attempt) or '0') ~= '0'
    if begun or cycle ~= (job.cycle or '1') then return job.status end
  end
  if run and job.dependents then
    call('HSET', key_job(job_id), F.dependents, C.TELL_AS_FINISHED)
    job.dependents = C.TELL_AS_FINISHED
  end
  if job.status == 'started' then
    ask(job_id, 'canceled')
    call('HSET', key_job(job_id), F.act, nonce) -- whose wish it was, for when the job has ended by it
    return 'started'
  end
  call('XLEN', key_results(job_id)) -- where that is no history it fails before anything is written
  leave('cancel', job_id, job, 'canceled', nonce)
  return 'canceled', job.dependents
end
