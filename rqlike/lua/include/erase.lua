-- erase(job_id, got, nonce): all of a job is gone at once, but for a notice that its waiters find for 5 s.
-- got: status, queue, cycle of the job
local function erase(job_id, got, nonce)
  if not allowed('delete', got[1]) then error('BUG delete of a job that is ' .. got[1]) end
  redis.call('ZREM', key_home(got[1], got[2]), job_id)
  redis.call('ZREM', key_ttl(got[2]), job_id)
  redis.call('DEL', key_job(job_id))
  drop_blobs(job_id)
  redis.call('DEL', key_results(job_id))
  notify(job_id, 'deleted', got[3], nonce)
  redis.call('PEXPIRE', key_results(job_id), C.GRACE_MS)
end
