--- @include watch
local function head_of(key)
  local head = redis.pcall('ZRANGE', key, 0, 0, 'WITHSCORES')
  return not head.err and tonumber(head[2]) or math.huge
end

-- watch_namespace(worker): the next moment that concerns the namespace as a whole, of schedules, of limits or of jobs that
-- wait for others, where this worker is the one to look then; nil where another one is, or there is none.
local function watch_namespace(worker)
  local slot = head_of(key_schedules())
  local others = math.min(head_of(key_limits()), head_of(key_unsettled()))
  return watch('', math.min(slot < C.NEVER_MS and slot or math.huge, others), worker)
end
