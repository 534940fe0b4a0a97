--- @flags allow-oom
-- reschedule: a schedule is paused, or goes on with a next slot that the caller has reckoned.
-- KEYS: prefix   ARGV: now, key, revision that the caller has seen, paused ('1' | '0'), next slot ('' there is none)
-- Answers: the fields of the schedule
-- Refuses: NOSCHEDULE; CHANGED, where it goes on and is not as the caller has seen it
--- @include now
--- @include summon
local key, paused, next_slot = ARGV[2], ARGV[4] == '1', ARGV[5]
local schedule = key_schedule(key)
local got = call('HMGET', schedule, S.revision, S.paused)
if not got[1] then return redis.error_reply('NOSCHEDULE') end
if paused == (got[2] ~= false) then return call('HGETALL', schedule) end
if not paused and got[1] ~= ARGV[3] then return redis.error_reply('CHANGED') end
call('HINCRBY', schedule, S.revision, 1)
if paused then
  call('HSET', schedule, S.paused, stamp)
  call('ZADD', key_schedules(), C.NEVER_MS, key)
else
  call('HDEL', schedule, S.paused)
  call('HSET', schedule, S.next, next_slot)
  call('ZADD', key_schedules(), next_slot == '' and C.NEVER_MS or next_slot, key)
  if next_slot ~= '' then summon(tonumber(next_slot)) end
end
return call('HGETALL', schedule)
