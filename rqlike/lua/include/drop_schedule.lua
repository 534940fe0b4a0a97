-- drop_schedule(key): a schedule is gone, with its history; the jobs it has made stay. Whether it was there.
local function drop_schedule(key)
  call('ZREM', key_schedules(), key)
  local was = call('DEL', key_schedule(key))
  call('DEL', key_fires(key))
  if call('EXISTS', key_schedules()) == 0 then redis.pcall('HDEL', key_watch(), '') end
  return was
end
