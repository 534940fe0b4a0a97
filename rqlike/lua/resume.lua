--- @flags allow-oom
-- resume: ends the pause of a queue, or under the name '' that of all queues; idle workers look at once.
-- KEYS: prefix   ARGV: now, queue, nonce
-- Answers: 1 it was paused | 0   Refuses: nothing. The same nonce again is answered the same for 5 s.
--- @include pause
--- @include lift
local queue, nonce = ARGV[2], ARGV[3]
local trace = redis.pcall('GET', key_resumed(queue))
if type(trace) == 'string' and string.match(trace, '^(%S+) ') == nonce then
  return string.match(trace, ' %-$') and 0 or 1
end
local record = redis.pcall('HGET', key_pauses(), queue)
if type(record) == 'table' then
  call('DEL', key_pauses()) -- of another type, so not ours
  record = nil
end
local till, _, of = read_pause(record or '')
if record then lift(queue) end
call('SET', key_resumed(queue), nonce .. ' ' .. (till and of or '-'), 'PX', C.GRACE_MS)
return till and 1 or 0
