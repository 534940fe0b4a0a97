--- @include now
--- @include lookout
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

local function release_due(broken)
  --- @include relook
  local due = firmly('ZRANGEBYSCORE', key_limits(), '-inf', stamp, 'LIMIT', 0, C.LIMIT_LOOKS)
  local left = C.TOUCH_LIMIT
  for _, key in ipairs(due) do
    if left <= 0 then return end
    local fine, spent = pcall(look_at_limit, key, left)
    if fine then
      left = left - spent
    else
      call('ZREM', key_limits(), key)
      broken('', '', 'limit ' .. key .. ': ' .. (type(spent) == 'table' and spent.err or tostring(spent)))
    end
  end
end

-- Answers the next moment at which this worker is to look again, or nil where another one does.
local function sweep_namespace(worker, slots, broken)
  if call('EXISTS', key_schedules(), key_limits(), key_unsettled()) == 0 then return nil end
  local head = redis.pcall('ZRANGE', key_schedules(), 0, 0, 'WITHSCORES')
  if head.err then
    broken('', '', 'the list of schedules: ' .. tostring(head.err))
  elseif head[2] and tonumber(head[2]) <= now then
    hand_over(slots, broken)
  end
  head = redis.pcall('ZRANGE', key_limits(), 0, 0, 'WITHSCORES')
  if head.err or head[2] and tonumber(head[2]) <= now then release_due(broken) end
  head = redis.pcall('ZRANGE', key_unsettled(), 0, 0, 'WITHSCORES')
  if head.err then
    call('DEL', key_unsettled()) -- of another type, so not ours
  elseif head[2] and tonumber(head[2]) <= now then
    --- @include dependents
    tell_dependents(broken)
  end
  return watch_namespace(worker)
end
