-- erase(job_id, got, nonce): all of a job is gone at once, but for a notice that its waiters find for 5 s. The notice
-- names the enqueue that made the job too: sent again, it must not bring the job back.
-- got: ERASE_FIELDS of the job; the caller has asked `is_whole`, and uproots what is not.
--- @include uproot
local ERASE_FIELDS = {F.status, F.queue, F.cycle, F.nonce}

local function is_whole(got)
  return not got.err and got[2] and allowed('delete', got[1])
end

local function erase(job_id, got, nonce)
  call('ZREM', key_home(got[1], got[2]), job_id)
  call('ZREM', key_ttl(got[2]), job_id)
  if call('EXISTS', key_home('queued', got[2])) == 0 then call('DEL', key_markers(got[2])) end
  call('DEL', key_job(job_id))
  drop_blobs(job_id)
  call('DEL', key_results(job_id))
  call('XADD', key_results(job_id), '*', E.notice, 'deleted', E.cycle, got[3] or 1, E.nonce, nonce,
    E.nonce, got[4] or '')
  call('PEXPIRE', key_results(job_id), C.GRACE_MS)
end
