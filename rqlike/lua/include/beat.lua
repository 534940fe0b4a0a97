--- @include now
-- beat(worker, first, count): the worker's own record, alive for another minute. Answers the orders left for it.
local function beat(worker, first, count)
  local key = key_worker(worker)
  redis.call('HSET', key, W.seen, now, unpack(ARGV, first, first + count - 1))
  redis.call('PEXPIRE', key, C.WORKER_TTL_MS)
  redis.call('ZADD', key_workers(), now + C.WORKER_TTL_MS, worker)
  return redis.call('HGET', key, W.order) or ''
end
