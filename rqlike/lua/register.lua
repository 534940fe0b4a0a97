--- @flags allow-oom
-- register: a worker begins. A name that another living worker bears is refused.
-- KEYS: prefix   ARGV: now, worker, instance, number of fields, field, value…
-- Answers: now   Refuses: TAKEN host pid; NORIGHT command… that the user of this connection may not call
--- @include now
--- @include beat
-- A right that is missing in the middle of a script would leave a job half way, so all are asked for here.
local COMMANDS = {
  'COPY', 'DEL', 'EXISTS', 'GET', 'GETRANGE', 'HDEL', 'HGET', 'HGETALL', 'HINCRBY', 'HKEYS', 'HMGET', 'HSET', 'HSETNX',
  'INCR', 'INCRBY', 'LPOP', 'LPUSH', 'LTRIM', 'PERSIST', 'PEXPIRE', 'PEXPIREAT', 'PEXPIRETIME', 'PTTL',
  'RENAME', 'RPUSH', 'SADD', 'SCARD', 'SET', 'SISMEMBER', 'SMEMBERS', 'SRANDMEMBER', 'SREM', 'TIME', 'XADD', 'XDEL', 'XLEN',
  'XREVRANGE', 'ZADD', 'ZCARD', 'ZCOUNT', 'ZPOPMIN', 'ZRANGE', 'ZRANGEBYSCORE', 'ZREM', 'ZREMRANGEBYRANK',
  'ZREMRANGEBYSCORE', 'ZSCORE',
}
if redis.acl_check_cmd then
  local missing = {}
  for _, command in ipairs(COMMANDS) do
    local key = key_job('a') -- the pattern of keys is one for all of them
    if not redis.acl_check_cmd(command, key, key) then missing[#missing + 1] = command end
  end
  if #missing > 0 then return redis.error_reply('NORIGHT ' .. table.concat(missing, ' ')) end
end
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
