--- @flags allow-oom
-- empty: deletes up to 500 queued jobs of one queue, from its head.
-- KEYS: prefix   ARGV: now, queue, limit
-- Answers: {deleted, left}
--- @include now
--- @include allowed
--- @include entry
--- @include erase
local queue, limit = ARGV[2], math.min(tonumber(ARGV[3]), C.TOUCH_LIMIT)
local home = key_home('queued', queue)
local deleted = 0
emptied[queue] = true -- also where nothing is left but ids without a job
local function delete(job_id)
  local got = redis.pcall('HMGET', key_job(job_id), unpack(ERASE_FIELDS))
  if is_whole(got) then
    erase(job_id, got, '')
    deleted = deleted + 1
  elseif call('EXISTS', key_job(job_id)) == 1 then
    erase_strange(job_id, '')
    deleted = deleted + 1
  end
  call('ZREM', home, job_id) -- where the job says that it is elsewhere, or is not
end

-- Whatever one of them raises, what the others share is put away.
local fine, problem = pcall(function()
  for _, job_id in ipairs(call('ZRANGE', home, 0, limit - 1)) do delete(job_id) end
end)
erased()
if untold then
  --- @include told
  tell_now()
end
if not fine then error(problem) end
return {deleted, call('ZCARD', home)}
