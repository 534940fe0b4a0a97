--- @include entry
--- @include until_gone
-- needed(text): what a new job that depends on others still waits for. text: F-free lines of `wish id`, the wish being what
-- becomes of it where that one fails: c it is canceled | r it runs | w it waits until it is run again; and f where it goes
-- to the front of its queue. coming: the ids of jobs that are about to be written, {id = true}; nil where one that is
-- none is not waited for. Answers the lines that are not decided yet, whether it is to be canceled at once, and the id of
-- one that is none.
local function needed(text, coming)
  local open, doomed = {}, false
  for wish, parent in string.gmatch(text, '(%a+) ([^\n]+)') do
    local status = redis.pcall('HGET', key_job(parent), F.status)
    local other = type(status) == 'table' -- of another type, so no job
    if other and coming then return open, doomed, parent end
    if other or not status then
      local fine, trace = pcall(newest_entry, parent)
      if not fine then trace = nil end
      -- one that has just finished and is kept no longer is not missed
      local missed = not trace or entry_field(trace, E.type) ~= '1'
      if missed and coming and not coming[parent] then return open, doomed, parent end
    elseif allowed('cancel', status) or (status ~= 'finished' and string.sub(wish, 1, 1) == 'w') then
      open[#open + 1] = {wish, parent, not allowed('cancel', status)}
    elseif status ~= 'finished' and string.sub(wish, 1, 1) == 'c' then
      doomed = true
    end
  end
  return open, doomed
end

local function depend(job_id, serial, open)
  for _, one in ipairs(open) do
    call('RPUSH', key_dependents(one[2]), serial .. ' ' .. one[1] .. ' ' .. job_id)
    call('HSETNX', key_job(one[2]), F.dependents, '1')
    call('HSET', key_job(one[2]), F.extra, '1')
    if one[3] then until_gone(one[2]) end -- it has ended already
  end
end
