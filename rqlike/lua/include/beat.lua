--- @include now
-- beat(worker, first, count): the worker's own record, alive for another minute. Answers the orders left for it.
local function beat(worker, first, count)
  local key = key_worker(worker)
  call('HSET', key, W.seen, stamp, unpack(ARGV, first, first + count - 1))
  call('PEXPIRE', key, C.WORKER_TTL_MS)
  call('ZADD', key_workers(), now + C.WORKER_TTL_MS, worker)
  return call('HGET', key, W.order) or ''
end
