--- @flags no-writes
-- pauses: which queues are paused, and '' whether all are. Reads only.
-- KEYS: prefix   ARGV: now, queue…
-- Answers: {per queue: {since, until ('' where it has no end), reason}, empty where it is not paused}
--- @include pause
local out = {}
for at = 2, #ARGV do
  local record = redis.pcall('HGET', key_pauses(), ARGV[at])
  local till, since, _, reason = read_pause(type(record) == 'string' and record or '')
  out[at - 1] = till and {since, till == math.huge and '' or string.format('%.0f', till), reason} or {}
end
return out
