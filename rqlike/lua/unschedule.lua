--- @flags allow-oom
-- unschedule: a schedule is gone, with its history; the jobs it has made stay.
-- KEYS: prefix   ARGV: now, key
-- Answers: 1 it was there | 0 it was not
--- @include now
local key = ARGV[2]
call('ZREM', key_schedules(), key)
local was = call('DEL', key_schedule(key))
call('DEL', key_fires(key))
if call('EXISTS', key_schedules()) == 0 then redis.pcall('HDEL', key_watch(), '') end
return was
