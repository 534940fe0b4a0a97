--- @include now
--- @include end
--- @include happened
--- @include unique
--- @include put_off
-- What an error says: a table from a command that failed, a text from Lua itself.
local function told(problem)
  return string.sub(type(problem) == 'table' and problem.err or tostring(problem), 1, 300)
end

-- Whether the server has refused a command, and not what it was to work on: that says nothing about a job.
local function is_refusal(why)
  local word = string.match(why, '^%-?(%u+) ')
  return word and word ~= 'WRONGTYPE' and word ~= 'ERR' or string.find(why, 'user executing the script', 1, true)
    or string.find(why, 'ACL failure in script', 1, true) -- as later servers say it
end

-- bury(job_id, queues, problem): a job that no script can work with, since something else has written into its keys. It
-- leaves every home it may be in, so that nobody meets it again, and fails where it can still be marked. A key that is
-- no hash is left as it is. Answers what was wrong.
local function bury(job_id, queues, problem)
  local why, key, home = told(problem), key_job(job_id), queues[1]
  local got = redis.pcall('HMGET', key, F.status, F.token, F.worker, F.cycle, F.limit, F.unique, F.dependents, F.queue)
  for _, queue in ipairs(queues) do
    if queue == got[8] then home = queue end -- where it is in none any more
  end
  for _, queue in ipairs(queues) do
    for _, status in ipairs({'queued', 'scheduled', 'deferred', 'started'}) do
      if redis.pcall('ZREM', key_home(status, queue), job_id) == 1 then home = queue end
    end
    redis.pcall('ZREM', key_ttl(queue), job_id)
  end
  if not got.err and got[5] then
    --- @include release
    --- @include limit
    pcall(release, job_id, got[5])
    if not limit_of(got[5]) then call('HDEL', key, F.limit) end
  end
  if not got.err and got[6] then
    pcall(let_go, job_id, got[6])
  end
  if got.err or call('EXISTS', key) == 0 then
    pcall(put_off, job_id, 'gone') -- nobody can say any more whether others wait for it
    return why
  end
  -- one that has ended meanwhile stays what it is; one whose status is none of rqlike's cannot stay that
  if allowed('delete', got[1]) and not allowed('bury', got[1]) then return why end
  local moment = expiry(C.FAILURE_TTL_MS)
  if got[7] then
    pcall(put_off, job_id, got[7] == C.TELL_AS_FINISHED and 'finished' or 'failed', moment)
  end
  call('HDEL', key, F.token, F.place, F.asked, F.ttl_deadline, F.lapsed, F.due, F.ttl, F.failure_ttl, F.result_ttl,
    F.attempt)
  call('HSET', key, F.status, 'failed', F.queue, home, F.ended, stamp)
  redis.pcall('ZADD', key_home('failed', home), moment, job_id)
  local told_of = redis.pcall('XADD', key_results(job_id), 'MAXLEN', '=', C.HISTORY_LENGTH, '*', E.type, 2,
    E.execution, got[2] or 'none', E.worker, got[3] or '', E.started, stamp, E.ended, stamp,
    E.cycle, string.match(got[4] or '', '^%d+$') or 1, E.reason, 'serialization',
    E.exc_string, 'What is stored of this job cannot be worked with: ' .. why)
  if type(told_of) == 'string' then
    date(job_id, moment, true, true)
  else
    call('PEXPIREAT', key, moment) -- a history that is none stays as it is
  end
  happened('bury', home, job_id, 'failed', string.match(got[4] or '', '^%d+$'), nil, 'serialization', got[3])
  return why
end
