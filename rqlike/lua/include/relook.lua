--- @include waiting
-- look_at_limit(key, budget): lets as many of the jobs that wait for a limit key go as there are permits now, and says
-- when to look again. Answers how many ids it looked at, `budget` and a few at most.

-- Holders that are started no more, because something else has taken the job away, hold nothing; some of them per call.
local function audit(key)
  for _, job_id in ipairs(firmly('SRANDMEMBER', key_holders(key), C.AUDIT_LIMIT)) do
    local got = redis.pcall('HMGET', key_job(job_id), F.status, F.limit)
    local limit = not got.err and got[1] == 'started' and got[2] and limit_of(got[2])
    if not limit or limit.key ~= key then call('SREM', key_holders(key), job_id) end
  end
end

-- How many may start now, the moment from which one more may, and whether a permit was there and nobody took it.
local function permits(limit)
  local free, moment, unused = math.huge, nil, false
  if limit.concurrency then
    if in_use(limit) >= limit.concurrency then audit(limit.key) end
    free = limit.concurrency - in_use(limit)
    moment = now + (free > 0 and C.RELOOK_MS or C.AUDIT_MS)
    unused = free > 0
  end
  if limit.every and free > 0 then
    local tat = tat_of(limit)
    local base = math.max(tat or 0, now - C.LATE_MS)
    free = math.min(free, math.floor((now - base) / limit.every + limit.burst))
    moment = math.ceil(base + (math.max(free, 0) + 1 - limit.burst) * limit.every)
    unused = free > 0 and now - (tat or 0) > C.RELOOK_MS
  end
  return free, moment, unused
end

local function look_at_limit(key, budget)
  local before = looks
  local head, unsure = live_head(key, budget)
  if not head then
    if unsure then look_by(key, now) else call('ZREM', key_limits(), key) end
    return looks - before
  end
  local free, moment, unused = permits(head[4])
  if unused then -- perhaps nobody listens to the queue of the first ones
    free = math.max(free, C.LIMIT_LOOKS)
    moment = now + C.RELOOK_MS
  end
  local moved = 0
  while head and moved < free do
    put_back(key, head)
    moved = moved + 1
    head, unsure = live_head(key, budget - (looks - before))
  end
  if unsure then moment = now end
  -- where none waits any more it is looked at once more, so that a start that comes now is one that was waited for
  call('ZADD', key_limits(), string.format('%.0f', math.max(moment, now + 1)), key)
  return looks - before
end
