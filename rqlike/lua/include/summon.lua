--- @include now
-- summon(moment): some worker is to wake for what concerns the whole namespace and comes earlier than what is watched.
-- It is told by its control key, on which it blocks also while its horses are busy: the one that watches already where
-- it lives, else the one that was heard of last. Where nobody is told, the next one to start or to tick finds it.
local function summon(moment)
  local noted = redis.pcall('HGET', key_watch(), '')
  local watched, holder = string.match(type(noted) == 'string' and noted or '', '^(%d+) (.*)$')
  watched = tonumber(watched)
  local lives = holder and call('EXISTS', key_worker(holder)) == 1
  if lives and watched <= moment and watched > now - 100 then return end
  if not lives then
    local newest = redis.pcall('ZRANGE', key_workers(), 0, 0, 'REV')
    holder = newest.err == nil and newest[1]
    if not holder or call('EXISTS', key_worker(holder)) == 0 then return end
  end
  redis.pcall('ZADD', key_control(holder), 0, 'look')
  call('PEXPIRE', key_control(holder), C.WORKER_TTL_MS)
end
