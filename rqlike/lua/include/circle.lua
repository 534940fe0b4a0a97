-- circle(job_id, needs, coming, own): whether a job that is enqueued anew under its id would wait for itself: others wait until it is
-- run again, and one of those it is to depend on is among them, or waits for one of them. Answers 'circle' and the id of
-- that one, or nil; 'crowd' where so many wait that it cannot be told. coming: {id = true} of what this very call will
-- write; own: {id = {edge…}} of who will wait for a job by it.
local function circle(job_id, needs, coming, own)
  if not own[job_id] and call('EXISTS', key_dependents(job_id)) == 0 then return nil end
  local sought, one_of_them = {}, nil
  for parent in string.gmatch(needs, '%a+ ([^\n]+)') do
    if coming[parent] or allowed('ready', redis.pcall('HGET', key_job(parent), F.status)) then
      sought[parent], one_of_them = true, parent
    end
  end
  if not one_of_them then return nil end
  local seen, next_ones, left = {[job_id] = true}, {job_id}, C.TOUCH_LIMIT
  while #next_ones > 0 do
    local parent = table.remove(next_ones)
    for _, edges in ipairs({own[parent] or {}, redis.pcall('LRANGE', key_dependents(parent), 0, left)}) do
      for _, edge in ipairs(edges) do
        local serial, wish, child = string.match(edge, '^(%d*) (%a+) (.+)$')
        left = left - 1
        if left < 0 then return 'crowd', one_of_them end
        -- who runs also where this one fails does not wait for it where it is replaced
        local waits = child and not seen[child] and not (parent == job_id and string.sub(wish, 1, 1) == 'r')
        if waits and (serial == '' or redis.pcall('HGET', key_job(child), F.enrolled) == serial) then
          if sought[child] then return 'circle', child end
          seen[child] = true
          next_ones[#next_ones + 1] = child
        end
      end
    end
  end
  return nil
end
