--- @flags no-writes
-- events: what has happened in a queue after some event, oldest first. Reads only.
-- KEYS: prefix   ARGV: now, queue, where to begin in the stream, most of its entries
-- Answers: {id of the oldest event that is kept, '' where there is none}, {{id, {number, text, …}}…}
--- @include packed
local stream = key_events(ARGV[2])
local oldest = call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
return packed({oldest and oldest[1] or '', oldest and call('XRANGE', stream, ARGV[3], '+', 'COUNT', ARGV[4]) or {}})
