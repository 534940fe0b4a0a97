--- @include now
--- @include ring
-- lift(queue): ends the pause of a queue, or under the name '' that of all queues, and rings as many markers as jobs wait,
-- so that idle workers look at once. Where another pause goes on, they see that.
local function lift(queue)
  call('HDEL', key_pauses(), queue)
  local woken = queue == '' and redis.pcall('SMEMBERS', key_queues()) or {queue}
  for _, one in ipairs(woken) do
    local waiting = redis.pcall('ZCARD', key_home('queued', one))
    if type(waiting) == 'number' and waiting > 0 then ring(one, now, waiting) end
  end
end
