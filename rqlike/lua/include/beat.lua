--- @include now
-- beat(worker, first, count): the worker's own record, alive for another minute. Answers the orders left for it.
local function beat(worker, first, count)
  local key = key_worker(worker)
  local function put(name, ...)
    local answer = redis.pcall(...)
    if type(answer) ~= 'table' then return end
    call('DEL', name) -- of another type, so not ours; what was in it is told anew by every worker
    call(...)
  end
  put(key, 'HSET', key, W.seen, stamp, unpack(ARGV, first, first + count - 1))
  call('PEXPIRE', key, C.WORKER_TTL_MS)
  put(key_workers(), 'ZADD', key_workers(), now + C.WORKER_TTL_MS, worker)
  return call('HGET', key, W.order) or ''
end
