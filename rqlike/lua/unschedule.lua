--- @flags allow-oom
-- unschedule: a schedule is gone, with its history; the jobs it has made stay.
-- KEYS: prefix   ARGV: now, key, source that it must have ('' whatever it is)
-- Answers: 1 it was there | 0 it was not, or has another source
--- @include now
local key, source = ARGV[2], ARGV[3]
if source ~= '' and call('HGET', key_schedule(key), S.source) ~= source then return 0 end
call('ZREM', key_schedules(), key)
local was = call('DEL', key_schedule(key))
call('DEL', key_fires(key))
if call('EXISTS', key_schedules()) == 0 then redis.pcall('HDEL', key_watch(), '') end
return was
