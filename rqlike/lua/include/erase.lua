-- erase(job_id, got, nonce): all of a job is gone at once, but for a notice that its waiters find for 5 s. The notice
-- names the enqueue that made the job too: sent again, it must not bring the job back.
-- got: ERASE_FIELDS of the job; the caller has asked `is_whole`, and ends with `erased()`, once for all jobs.
--- @include drop_blobs
--- @include uproot
--- @include now
--- @include happened
--- @include unique
--- @include put_off
local ERASE_FIELDS = {F.status, F.queue, F.cycle, F.nonce, F.ttl_deadline, F.limit, F.unique, F.dependents, F.told,
  F.attempt}

-- A stream takes 4 kB when it is begun, and a queue may be emptied of a million jobs within the 5 s. A copy is exact, so
-- the notice is made under another key, with its time to live, and copied for each job that it fits as it is.
local notice, emptied = nil, {} -- queues to look at in the end
local untold, dependents_too = false, false -- whether others wait for what is gone; whether they go with it

local function leave_notice(job_id, cycle, nonce, made_by)
  local wanted = cycle .. ' ' .. nonce .. ' ' .. made_by
  if notice ~= wanted then
    call('DEL', key_scratch())
    call('XADD', key_scratch(), '*', E.notice, 'deleted', E.cycle, cycle, E.nonce, nonce, E.nonce, made_by)
    call('PEXPIRE', key_scratch(), C.GRACE_MS)
    notice = wanted
  end
  call('COPY', key_scratch(), key_results(job_id), 'REPLACE')
end

local function is_whole(got)
  return not got.err and got[2] and allowed('delete', got[1])
end

local function erase(job_id, got, nonce)
  call('ZREM', key_home(got[1], got[2]), job_id)
  if got[5] then call('ZREM', key_ttl(got[2]), job_id) end
  if got[6] then
    --- @include release
    --- @include limit
    local limit = limit_of(got[6])
    if limit and got[1] == 'queued' then firmly('ZREM', key_waiting(limit.key), job_id) end
    if got[1] == 'started' then release(job_id, got[6]) end
    if limit and not allowed('requeue', got[1]) and call('EXISTS', key_waiting(limit.key)) == 0 then
      firmly('ZREM', key_limits(), limit.key) -- nobody is to look at it any more
    end
  end
  if got[7] then
    let_go(job_id, got[7], true)
  end
  if got[8] then
    put_off(job_id, dependents_too and 'erase' or 'gone', stamp)
    untold = true
  end
  emptied[got[2]] = true
  call('DEL', key_job(job_id))
  if got[9] then call('DEL', key_live(job_id), key_log(job_id)) end
  drop_blobs(job_id)
  leave_notice(job_id, got[3] or 1, nonce, got[4] or '')
  happened('delete', got[2], job_id, nil, got[3], got[10])
end

-- The same for what `is_whole` refuses.
local function erase_strange(job_id, nonce)
  uproot(job_id, nonce)
  notice, untold = nil, true
end

local function erased()
  call('DEL', key_scratch())
  notice = nil
  for queue in pairs(emptied) do
    if call('EXISTS', key_home('queued', queue)) == 0 then call('DEL', key_markers(queue)) end
  end
end
