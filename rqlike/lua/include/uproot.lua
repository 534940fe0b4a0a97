--- @include drop_blobs
--- @include entry
--- @include happened
--- @include unique
--- @include put_off
-- uproot(job_id, nonce): what is stored under the id of a job is gone at once, though it is not what rqlike has written
-- there and does not say where the job was at home.
local function uproot(job_id, nonce)
  local home = nil
  for _, queue in ipairs(call('SMEMBERS', key_queues())) do
    for _, status in ipairs({'queued', 'scheduled', 'deferred', 'started', 'finished', 'failed', 'stopped', 'canceled',
      'expired'}) do
      if redis.pcall('ZREM', key_home(status, queue), job_id) == 1 then home = queue end
    end
    redis.pcall('ZREM', key_ttl(queue), job_id)
  end
  local unique = redis.pcall('HGET', key_job(job_id), F.unique)
  if type(unique) == 'string' then
    let_go(job_id, unique, true)
  end
  pcall(put_off, job_id, 'gone', stamp)
  call('DEL', key_job(job_id), key_results(job_id), key_live(job_id), key_log(job_id))
  drop_blobs(job_id)
  notify(job_id, 'deleted', 1, nonce)
  call('PEXPIRE', key_results(job_id), C.GRACE_MS)
  if home then happened('delete', home, job_id) end
end
