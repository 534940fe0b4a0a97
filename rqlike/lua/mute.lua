--- @flags allow-oom
-- mute: the events of a queue are switched off, and those that are kept are gone; or they are switched on again.
-- KEYS: prefix   ARGV: now, queue, '1' on | '0' off
-- Answers: 1
local queue, muted = ARGV[2], key_muted()
if type(redis.pcall('SCARD', muted)) == 'table' then call('DEL', muted) end -- of another type, so not ours
if ARGV[3] == '1' then
  call('SREM', muted, queue)
else
  call('SADD', muted, queue)
  call('DEL', key_events(queue))
end
return 1
