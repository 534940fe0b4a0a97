--- @flags no-writes
-- schedule_of: one schedule and its newest fires. Reads only.
-- KEYS: prefix   ARGV: now, key, number of fires
-- Answers: now, {fields, empty where there is none}, {fires, newest first}
--- @include now
local fires = {}
if tonumber(ARGV[3]) > 0 then fires = call('LRANGE', key_fires(ARGV[2]), 0, ARGV[3] - 1) end
return {now, call('HGETALL', key_schedule(ARGV[2])), fires}
