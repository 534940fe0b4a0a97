-- tell: what running executions say of themselves: the newest progress of each, and lines for its log. Only the holder of
-- the current token may: what a lost execution says is not written.
-- Needs: deny-oom. A full server has better things to keep; the worker tries again, and the job knows nothing of it.
-- KEYS: prefix
-- ARGV: now, then per execution: job id, token, number of this telling in the execution, moment and state of its progress
--       ('' both where it is no other), number of lines, moment and text of each…
-- Answers: {word per execution}: ok | stale | broken. The same telling again is answered 'ok' and writes nothing.
-- A key of another type is not ours; what was in it is lost to nobody.
local function put(key, most, ...)
  local answer = redis.pcall('XADD', key, 'MAXLEN', '=', most, '*', ...)
  if type(answer) ~= 'table' then return end
  if not string.find(tostring(answer.err), 'wrong kind of value', 1, true) then error(answer, 0) end
  call('DEL', key)
  call('XADD', key, 'MAXLEN', '=', most, '*', ...)
end

local function write(job_id, key, got, mark, at, count)
  -- left of another job with this id
  if not got[2] then call('DEL', key_live(job_id), key_log(job_id)) end
  call('HSET', key, F.told, mark, F.extra, '1') -- first: what is there must not be without it
  local where = {}
  if got[3] then where[1], where[2] = E.cycle, got[3] end
  if got[4] and got[4] ~= '1' then where[#where + 1], where[#where + 2] = E.attempt, got[4] end
  if ARGV[at + 4] ~= '' then
    put(key_live(job_id), 1, E.said, ARGV[at + 3], E.progress, ARGV[at + 4], unpack(where))
  end
  for index = at + 6, at + 4 + 2 * count, 2 do
    put(key_log(job_id), C.LOG_LINES, E.said, ARGV[index], E.line, ARGV[index + 1], unpack(where))
  end
end

local words, at = {}, 2
while ARGV[at] do
  local job_id, token, count = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 5])
  local key, mark = key_job(job_id), token .. ' ' .. ARGV[at + 2]
  local got = redis.pcall('HMGET', key, F.token, F.told, F.cycle, F.attempt)
  local word = 'ok'
  if got.err or got[1] ~= token then
    word = 'stale'
  elseif got[2] ~= mark then
    if not pcall(write, job_id, key, got, mark, at, count) then word = 'broken' end
  end
  words[#words + 1] = word
  at = at + 6 + 2 * count
end
return words
