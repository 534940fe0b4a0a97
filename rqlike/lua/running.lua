--- @flags no-writes
-- running: what the executions of some queues are at. Reads only.
-- KEYS: prefix   ARGV: now, queue…
-- Answers: {worker, job id, id of a job it waits for or '', until when in ms or '-', status and queue of that job or '', 'any'
--          where the end of any it waits for is enough | 'all'; per started job, and per job that it waits for; at most
--          500 jobs of each queue}
local out = {}

local function add(worker, job_id, awaited, until_ms, status, queue, how)
  local size = #out
  out[size + 1], out[size + 2], out[size + 3], out[size + 4] = worker, job_id, awaited, until_ms
  out[size + 5], out[size + 6], out[size + 7] = status, queue, how
end

-- What this very execution has said; what one before it has said counts no more.
local function add_all(worker, job_id, token, said)
  local until_ms, how, ids
  if said and string.sub(said, 1, #token + 1) == token .. ' ' then
    until_ms, how, ids = string.match(string.sub(said, #token + 2), '^(%S+) (%a+) (.+)$')
  end
  if not ids then return add(worker, job_id, '', '-', '', '', 'all') end
  for awaited in string.gmatch(ids, '[^\n]+') do
    local got = redis.pcall('HMGET', key_job(awaited), F.status, F.queue)
    if got.err then got = {} end
    add(worker, job_id, awaited, until_ms, got[1] or '', got[2] or '', how)
  end
end

for index = 2, #ARGV do
  for _, job_id in ipairs(call('ZRANGE', key_home('started', ARGV[index]), 0, C.TOUCH_LIMIT - 1)) do
    local got = redis.pcall('HMGET', key_job(job_id), F.worker, F.token, F.awaits)
    if not got.err and got[1] and got[2] then add_all(got[1], job_id, got[2], got[3]) end
  end
end
return out
