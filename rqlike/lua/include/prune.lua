--- @include now
-- Members whose job has expired; no job is touched. Whether there are more than one call takes.
local function prune(queue)
  local more = false
  for _, status in ipairs({'finished', 'failed', 'stopped', 'canceled', 'expired'}) do
    local home = key_home(status, queue)
    local dead = call('ZCOUNT', home, '-inf', stamp)
    if dead > 0 then call('ZREMRANGEBYRANK', home, 0, math.min(dead, C.PRUNE_LIMIT) - 1) end
    more = more or dead > C.PRUNE_LIMIT
  end
  return more
end
