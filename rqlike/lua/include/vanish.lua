--- @include drop_blobs
-- vanish(…): result_ttl=0, the job is gone at once; its entry stays readable for 5 s, for waiters and for calls sent
-- again, and as long as a waiter has asked for.
local function vanish(job_id, queue, at, stop, blobs, wanted, told)
  local nonce = call('HGET', key_job(job_id), F.nonce) or ''
  local id, cycle, attempt, reason, worker = append(job_id, at + 10, stop - 1, nonce)
  call('DEL', key_job(job_id))
  if blobs then drop_blobs(job_id) end
  if wanted then
    --- @include wanted
    call('PEXPIREAT', key_results(job_id), no_earlier(string.format('%.0f', now + C.GRACE_MS), wanted))
  else
    call('PEXPIRE', key_results(job_id), C.GRACE_MS)
  end
  if told then -- whoever watches it has not seen the last of it yet
    call('PEXPIRE', key_live(job_id), C.GRACE_MS)
    call('PEXPIRE', key_log(job_id), C.GRACE_MS)
  end
  happened('finish', queue, job_id, nil, cycle, attempt, reason, worker)
  return 'ok ' .. id
end
