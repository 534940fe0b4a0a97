--- @include now
-- Members whose job has expired; no job is touched. Whether there are more than one call takes.
local removable = 2 * C.PRUNE_LIMIT -- by this call, whatever number of queues it is for
local function prune(queue)
  local more = false
  for _, status in ipairs({'finished', 'failed', 'stopped', 'canceled', 'expired'}) do
    local home = key_home(status, queue)
    local dead = call('ZCOUNT', home, '-inf', stamp)
    local some = math.min(dead, C.PRUNE_LIMIT, removable)
    if some > 0 then call('ZREMRANGEBYRANK', home, 0, some - 1) end
    removable, more = removable - some, more or dead > some
  end
  return more
end
