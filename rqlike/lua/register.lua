--- @flags allow-oom
-- register: a worker begins. A name that another living worker bears is refused.
-- KEYS: prefix   ARGV: now, worker, instance, number of fields, field, value…
-- Answers: now   Refuses: TAKEN host pid
--- @include now
--- @include beat
local worker, instance = ARGV[2], ARGV[3]
local got = redis.pcall('HMGET', key_worker(worker), W.instance, W.host, W.pid)
if got.err then
  call('DEL', key_worker(worker)) -- of another type, so no worker's
  got = {}
end
if got[1] and got[1] ~= instance then
  return redis.error_reply('TAKEN ' .. (got[2] or '?') .. ' ' .. (got[3] or '?'))
end
call('HSET', key_worker(worker), W.instance, instance, W.birth, now)
beat(worker, 5, tonumber(ARGV[4]))
return now
