--- @include budget
--- @include entry
--- @include erase
-- drain(status, queue, most): deletes jobs from the head of a home, at most so many, and fewer where that takes long.
-- Answers how many jobs are gone, and how many ids have left the home. The caller ends with `erased()`. Of several homes
-- in a call the first one that is not empty is begun in any case, so that each call gets on.
local drained = false

-- An id stays in its home for a while after its job has expired, and may be that of another job by now.
local function is_elsewhere(job_id, got, status, queue)
  if got[1] == status and got[2] == queue then return false end
  return type(redis.pcall('ZSCORE', key_home(got[1], got[2]), job_id)) == 'string'
end

local function delete_from(status, queue, job_id)
  local got = redis.pcall('HMGET', key_job(job_id), unpack(ERASE_FIELDS))
  if is_whole(got) then
    if is_elsewhere(job_id, got, status, queue) then return 0 end
    if got[1] == 'started' then
      --- @include ask
      ask(job_id, 'deleted')
    end
    erase(job_id, got, '')
    return 1
  end
  if call('EXISTS', key_job(job_id)) == 0 then return 0 end
  erase_strange(job_id, '')
  return 1
end

local function drain(status, queue, most)
  local home, deleted, taken = key_home(status, queue), 0, 0
  emptied[queue] = true -- also where nothing is left but ids without a job
  if most <= 0 or (drained and spent()) then return 0, 0 end
  for index, job_id in ipairs(call('ZRANGE', home, 0, most - 1)) do
    deleted = deleted + delete_from(status, queue, job_id)
    call('ZREM', home, job_id) -- where the job says that it is elsewhere, or is not
    taken, drained = index, true
    if index % 20 == 0 and spent() then break end
  end
  return deleted, taken
end
