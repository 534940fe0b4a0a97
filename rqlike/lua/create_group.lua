-- create_group: a group without jobs.
-- KEYS: prefix   ARGV: now, id, call of its callback ('' none)
-- Answers: 1   Refuses: TAKEN. The same call again is answered the same as long as no job has come.
--- @include now
local key = key_group(ARGV[2])
if call('EXISTS', key) == 1 and call('HGET', key, G.queue) then return redis.error_reply('TAKEN') end
call('HSET', key, G.created, stamp)
if ARGV[3] ~= '' then call('HSET', key, G.callback, ARGV[3]) end
call('PEXPIRE', key, C.GROUP_TTL_MS) -- as long as no job comes
return 1
