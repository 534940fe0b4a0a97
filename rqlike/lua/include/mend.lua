-- mend(job_id, flat, queue): a job says of itself in which queue it is; where that is not so, what follows would look for
-- it elsewhere.
local function mend(job_id, flat, queue)
  call('HSET', key_job(job_id), F.queue, queue)
  flat[#flat + 1], flat[#flat + 2] = F.queue, queue
end
