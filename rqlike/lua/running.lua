--- @flags no-writes
-- running: what the executions of some queues are at. Reads only.
-- KEYS: prefix   ARGV: now, queue…
-- Answers: {worker, id of the job it waits for or '', per started job; at most 500 of each queue}
local out = {}
for index = 2, #ARGV do
  for _, job_id in ipairs(call('ZRANGE', key_home('started', ARGV[index]), 0, C.TOUCH_LIMIT - 1)) do
    local got = redis.pcall('HMGET', key_job(job_id), F.worker, F.token, F.awaits)
    if not got.err and got[1] and got[2] then
      -- what an execution before this one has said counts no more
      local own = got[3] and string.sub(got[3], 1, #got[2] + 1) == got[2] .. ' '
      out[#out + 1] = got[1]
      out[#out + 1] = own and string.sub(got[3], #got[2] + 2) or ''
    end
  end
end
return out
