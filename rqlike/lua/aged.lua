--- @flags no-writes
-- aged: how many jobs `clean` would delete, from a cursor on; it looks at up to 500. Reads only.
-- KEYS: prefix   ARGV: now, as `clean` from the queue on
-- Answers: as `clean`
--- @include allowed
--- @include aged
return walk_aged(ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], tonumber(ARGV[8]), function() end)
