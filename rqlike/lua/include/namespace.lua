--- @include now
--- @include watch
-- What time alone has made due in the namespace as a whole, whatever queues a worker listens to.

-- Hands over schedules that are due: whoever is given one has 2 s to fire it, then another worker is given it. What it
-- fires, and that each slot is fired once, is up to `fire`. Adds to `slots`.
local function hand_over(slots, broken)
  local key = key_schedules()
  local due = call('ZRANGEBYSCORE', key, '-inf', stamp, 'LIMIT', 0, C.SLOT_LIMIT)
  local until_then = string.format('%.0f', now + C.FIRE_MS)
  for _, name in ipairs(due) do
    local got = redis.pcall('HMGET', key_schedule(name), S.timetable, S.next, S.revision, S.fired)
    if got.err then
      call('ZREM', key, name)
      broken('', '', 'schedule ' .. name .. ': ' .. tostring(got.err))
    elseif not got[1] or not got[2] then
      call('ZREM', key, name)
    else
      call('ZADD', key, until_then, name)
      slots[#slots + 1] = {name, got[1], got[2], got[3] or '0', got[4] or '0'}
    end
  end
end

-- Answers the next moment at which this worker is to look again, or nil where another one does.
local function sweep_namespace(worker, slots, broken)
  local key = key_schedules()
  if call('EXISTS', key) == 0 then return nil end
  local head = redis.pcall('ZRANGE', key, 0, 0, 'WITHSCORES')
  if head.err then
    broken('', '', 'the list of schedules: ' .. tostring(head.err))
    return nil
  end
  if head[2] and tonumber(head[2]) <= now then
    hand_over(slots, broken)
    head = call('ZRANGE', key, 0, 0, 'WITHSCORES')
  end
  local moment = tonumber(head[2])
  return watch('', moment and moment < C.NEVER_MS and moment or math.huge, worker)
end
