--- @flags no-writes
-- newest_event: the last thing that has happened in a queue. Reads only.
-- KEYS: prefix   ARGV: now, queue
-- Answers: its id, '0-0' where there is none
local newest = call('XREVRANGE', key_events(ARGV[2]), '+', '-', 'COUNT', 1)[1]
return newest and newest[1] or '0-0'
