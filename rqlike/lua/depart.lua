--- @flags allow-oom
-- depart: a worker ends and leaves nothing behind.
-- KEYS: prefix   ARGV: now, worker
-- Answers: 1
local worker = ARGV[2]
redis.call('DEL', key_worker(worker), key_control(worker), key_call(worker))
redis.call('ZREM', key_workers(), worker)
return 1
