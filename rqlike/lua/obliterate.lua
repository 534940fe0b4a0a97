--- @flags allow-oom
-- obliterate: deletes up to 500 jobs of one queue, whatever their status, and before them up to some 250 schedules. Where
-- nothing is left of them, all else that bears the queue's name goes in the same step; where something is, the queue is
-- paused until the next call comes, 30 s at most: whoever makes these calls may be gone.
-- KEYS: prefix   ARGV: now, nonce, queue, force ('1' | '0'), limit, cursor over the schedules ('0' to begin, '' done)
-- Answers: {jobs deleted, schedules removed, cursor of the next call, 1 where nothing is left | 0}
-- Refuses: RUNNING count, without force. The same nonce again is answered the same, and deletes nothing, for 5 s.
--- @include now
--- @include allowed
--- @include pause
--- @include answers
--- @include drop_schedule
--- @include drain
local nonce, queue, room, cursor = ARGV[2], ARGV[3], math.min(tonumber(ARGV[5]), C.TOUCH_LIMIT), ARGV[6]
local STATUSES = {'started', 'queued', 'scheduled', 'deferred', 'finished', 'failed', 'stopped', 'canceled', 'expired'}
local before = answered(nonce)
if before then return before end
local running = redis.pcall('ZCARD', key_home('started', queue))
if ARGV[4] ~= '1' and type(running) == 'number' and running > 0 then
  return redis.error_reply('RUNNING ' .. running)
end

-- What bears the name of a home and is none: nothing of the queue is to be left.
local function clear(name)
  if type(redis.pcall('ZCARD', name)) == 'table' then call('DEL', name) end
end

local function drop_schedules()
  local found, dropped = redis.pcall('ZSCAN', key_schedules(), cursor, 'COUNT', 250), 0
  if found.err then return 0, '' end
  for at = 1, #found[2], 2 do
    local name = found[2][at]
    if redis.pcall('HGET', key_schedule(name), S.queue) == queue then dropped = dropped + drop_schedule(name) end
  end
  return dropped, found[1] == '0' and '' or found[1]
end

local function hold()
  local record = redis.pcall('HGET', key_pauses(), queue)
  if type(record) == 'table' then
    call('DEL', key_pauses()) -- of another type, so not ours
    record = nil
  end
  local till, since, of, reason = read_pause(record or '')
  local wanted = now + C.OBLITERATE_MS
  if till and till >= wanted then return end
  call('HSET', key_pauses(), queue, (since or stamp) .. ' ' .. string.format('%.0f', wanted) .. ' ' .. (of or '+') .. ' '
    .. (reason or 'it is being obliterated'))
end

local function is_left()
  for _, status in ipairs(STATUSES) do
    if call('EXISTS', key_home(status, queue)) == 1 then return true end
  end
  return cursor ~= ''
end

local function forget()
  call('DEL', key_ttl(queue), key_markers(queue), key_events(queue))
  redis.pcall('SREM', key_muted(), queue)
  redis.pcall('HDEL', key_watch(), queue)
  redis.pcall('HDEL', key_pauses(), queue)
  redis.pcall('SREM', key_queues(), queue)
  if call('EXISTS', key_schedules(), key_limits()) == 0 then redis.pcall('HDEL', key_watch(), '') end
end

local dropped, deleted = 0, 0
if cursor ~= '' then dropped, cursor = drop_schedules() end
clear(key_ttl(queue))
-- Whatever one of them raises, what the others share is put away.
local whole, problem = pcall(function()
  for _, status in ipairs(STATUSES) do
    clear(key_home(status, queue))
    if cursor == '' then
      local gone, taken = drain(status, queue, room)
      deleted, room = deleted + gone, room - taken
    end
  end
end)
erased()
if untold then
  --- @include told
  tell_now()
end
if not whole then error(problem) end
local left = is_left()
if left then hold() else forget() end
return answer(nonce, deleted, dropped, cursor, left and 0 or 1)
