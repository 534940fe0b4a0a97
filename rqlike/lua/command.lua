--- @flags allow-oom
-- command: an order to one worker: durable in its record, and a word on the key it blocks on.
-- KEYS: prefix   ARGV: now, worker, order (shutdown | kill-horse)
-- Answers: 1   Refuses: NOWORKER
local worker, order = ARGV[2], ARGV[3]
if call('EXISTS', key_worker(worker)) == 0 then return redis.error_reply('NOWORKER') end
if order == 'shutdown' then call('HSET', key_worker(worker), W.order, order) end
call('ZADD', key_control(worker), 0, order)
call('PEXPIRE', key_control(worker), C.WORKER_TTL_MS)
return 1
