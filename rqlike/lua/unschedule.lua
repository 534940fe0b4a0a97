--- @flags allow-oom
-- unschedule: a schedule is gone, with its history; the jobs it has made stay.
-- KEYS: prefix   ARGV: now, key, source that it must have ('' whatever it is)
-- Answers: 1 it was there | 0 it was not, or has another source
--- @include drop_schedule
local key, source = ARGV[2], ARGV[3]
if source ~= '' and call('HGET', key_schedule(key), S.source) ~= source then return 0 end
return drop_schedule(key)
