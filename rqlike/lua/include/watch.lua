--- @include now
-- watch(what, moment, worker): who wakes for the next moment of a queue, or of what concerns the whole namespace ('').
-- Answers the moment where that is this worker, nil where there is none or another one watches it already.
local function watch(what, moment, worker)
  if moment == math.huge then
    redis.pcall('HDEL', key_watch(), what)
    return nil
  end
  local noted = redis.pcall('HGET', key_watch(), what)
  if type(noted) == 'table' then -- no hash, so not ours, and what it is for are notes of a moment
    call('DEL', key_watch())
    noted = nil
  end
  local watched, holder = string.match(noted or '', '^(%d+) (.*)$')
  watched = tonumber(watched)
  if watched and holder ~= worker and watched <= moment and watched > now - 100 then return nil end
  if watched ~= moment or holder ~= worker then
    call('HSET', key_watch(), what, string.format('%.0f', moment) .. ' ' .. worker)
  end
  return moment
end
