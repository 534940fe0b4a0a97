--- @include drop_blobs
--- @include entry
-- What an id already stands for: nothing | the same call once more | a live job | a job that ended.
local function look_at(job_id, nonce)
  local got = call('HMGET', key_job(job_id), F.status, F.nonce, F.cycle, F.since, F.queue, F.notice, F.dependents, F.told)
  local status = got[1]
  if status then
    if nonce == (got[2] or '') then return 'replayed', got end
    return allowed('enqueue', status) and 'cycle' or 'duplicate', got
  end
  local trace = newest_entry(job_id)
  if not trace then return 'new', got end
  -- the stream of a job that is gone outlives it by 5 s: a call sent again finds it, another one starts afresh, by `forget`
  if entry_answers(trace, nonce) then
    return 'replayed', {'finished', nonce, entry_field(trace, E.cycle) or 1, '0-0'}
  end
  return 'new', got
end

-- What a job that is gone has left, once its id is taken by another one; who waits for it still does not wait for that.
local function forget(job_id)
  --- @include put_off
  put_off(job_id, 'gone')
  call('DEL', key_results(job_id), key_live(job_id), key_log(job_id))
end

-- A new cycle keeps the history, without the notice by which the last cycle may have ended, unless nobody has seen it
-- yet: `notice` was written by this very call. Answers its number, and the id of the entry it begins after.
local function begin_cycle(job_id, old, notice)
  local stream = key_results(job_id)
  local newest = newest_entry(job_id)
  call('ZREM', key_home(old[1], old[5]), job_id) -- first: it may be none
  if newest and newest[1] ~= notice and entry_field(newest, E.notice) then call('XDEL', stream, newest[1]) end
  if old[6] then redis.pcall('XDEL', stream, old[6]) end
  call('PERSIST', stream)
  call('DEL', key_job(job_id))
  if old[7] then redis.pcall('ZREM', key_unsettled(), '- gone ' .. job_id) end -- it lives, and tells at its end
  drop_blobs(job_id)
  if old[8] then -- the log goes on; progress begins anew
    call('DEL', key_live(job_id))
    call('PERSIST', key_log(job_id))
    call('HSET', key_job(job_id), F.told, old[8], F.extra, '1')
  end
  return (tonumber(old[3]) or 1) + 1, newest and newest[1] or '0-0'
end
