--- @flags no-writes
-- running: what the executions of some queues are at. Reads only.
-- KEYS: prefix   ARGV: now, queue…
-- Answers: {worker, job id, id of the job it waits for or '', until when in ms or '-', status and queue of that job or '';
--          per started job; at most 500 of each queue}
local out = {}

-- What this very execution has said; what one before it has said counts no more.
local function awaited_by(token, said)
  if not said or string.sub(said, 1, #token + 1) ~= token .. ' ' then return '', '-', '', '' end
  local until_ms, awaited = string.match(string.sub(said, #token + 2), '^(%S+) (.+)$')
  if not awaited then return '', '-', '', '' end
  local got = redis.pcall('HMGET', key_job(awaited), F.status, F.queue)
  if got.err then got = {} end
  return awaited, until_ms, got[1] or '', got[2] or ''
end

for index = 2, #ARGV do
  for _, job_id in ipairs(call('ZRANGE', key_home('started', ARGV[index]), 0, C.TOUCH_LIMIT - 1)) do
    local got = redis.pcall('HMGET', key_job(job_id), F.worker, F.token, F.awaits)
    if not got.err and got[1] and got[2] then
      local size = #out
      out[size + 1], out[size + 2] = got[1], job_id
      out[size + 3], out[size + 4], out[size + 5], out[size + 6] = awaited_by(got[2], got[3])
    end
  end
end
return out
