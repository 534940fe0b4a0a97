--- @flags allow-oom
-- depart: a worker ends and leaves nothing behind; the moments it was to wake for go to another one.
-- KEYS: prefix   ARGV: now, worker
-- Answers: 1
--- @include now
--- @include ring
--- @include summon
local worker = ARGV[2]
call('DEL', key_worker(worker), key_control(worker), key_call(worker))
call('ZREM', key_workers(), worker)
local watched = call('HGETALL', key_watch())
for at = 1, #watched, 2 do
  local queue, holder = watched[at], string.match(watched[at + 1], '^%d+ (.*)$')
  if holder == worker then
    call('HDEL', key_watch(), queue)
    local waiting = {key_home('scheduled', queue), key_ttl(queue), key_home('queued', queue)} -- the last for a pause
    if queue == '' then
      summon(now)
    elseif call('EXISTS', unpack(waiting)) > 0 then ring(queue, now, 1) end
  end
end
return 1
