-- ask(job_id, what): a durable wish on a started job, and a word to its worker so that it hears of it at once.
-- The worker's renewal finds the wish where the word was lost.
local function ask(job_id, what)
  local got = call('HMGET', key_job(job_id), F.worker, F.token)
  call('HSET', key_job(job_id), F.asked, what, F.extra, '1')
  if got[1] and got[2] and call('EXISTS', key_worker(got[1])) == 1 then
    call('ZADD', key_control(got[1]), 0, what .. ' ' .. got[2])
    call('PEXPIRE', key_control(got[1]), C.WORKER_TTL_MS)
  end
end
