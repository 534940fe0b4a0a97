--- @flags no-writes
-- queues: the names of all queues ever used. Reads only.
-- KEYS: prefix   ARGV: now
-- Answers: {name…}
return call('SMEMBERS', key_queues())
