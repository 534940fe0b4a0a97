--- @include now
--- @include chunked
--- @include blob
--- @include append
--- @include end
--- @include happened
-- Carries out verdicts on executions. A verdict was made by the worker; here it is only written, and only by the holder
-- of the current token. A verdict sent again finds its entry in the stream and is answered 'already' with the entry's
-- id. What a verdict is, in ARGV from `at`, in the order of `turns.Settlement`: job id, token, execution, verb, to,
-- ttl_ms, delay_ms, band, crashes, number of the entry's parts, parts of the entry…

-- What of the homes is written once for all verdicts of a call, by `rehome`. Nothing in between reads it: the next
-- verdict on the same job finds the token gone and looks at the stream.
local left, entered, dated = {}, {}, {}
local untold = false -- whether others wait for a job that has ended here

local function later(homes, home, score, job_id)
  local members = homes[home]
  if not members then
    members = {}
    homes[home] = members
  end
  if score then members[#members + 1] = score end
  members[#members + 1] = job_id
end

local function rehome(broken)
  local function write(command, homes)
    for home, members in pairs(homes) do
      local fine, problem = pcall(chunked, command, home, members)
      if not fine then broken(home, '', problem) end
    end
  end
  write('ZREM', left)
  write('ZADD', entered)
end

-- An execution may also be on record because another worker judged it as abandoned: that is not what this one says,
-- so its outcome is 'stale', and nothing that follows from it (callbacks) may happen.
local function trace_of(at, stop)
  --- @include entry
  local mine = {nil, {unpack(ARGV, at + 10, stop - 1)}}
  for _, entry in ipairs(call('XREVRANGE', key_results(ARGV[at]), '+', '-')) do
    if entry_field(entry, E.execution) == ARGV[at + 2] then
      local same = entry_field(entry, E.type) == entry_field(mine, E.type)
        and entry_field(entry, E.reason) == entry_field(mine, E.reason)
      return same and 'already ' .. entry[1] or 'stale'
    end
  end
  return nil
end

-- The verdicts after which a job goes on waiting; `otherwise` and what it includes are made only where one is met.
local function otherwise(at, stop)
  --- @include otherwise
  return go_on_or_back(at, stop)
end

-- What a limit of the job counts is over, it holds its unique key no more, and who waits for it is to be told.
local function free_what_it_holds(job_id, limit, unique, outcome, moment)
  if limit then
    --- @include release
    release(job_id, limit)
  end
  if unique then
    --- @include unique
    let_go(job_id, unique)
  end
  if outcome then
    --- @include put_off
    put_off(job_id, outcome, moment)
    untold = true
  end
end

-- result_ttl=0: the job is gone at once; its entry stays readable for 5 s, for waiters and for calls sent again, and as
-- long as a waiter has asked for.
local function vanish(job_id, queue, at, stop, blobs, wanted, told)
  local nonce = call('HGET', key_job(job_id), F.nonce) or ''
  local id, cycle, attempt, reason, worker = append(job_id, at + 10, stop - 1, nonce)
  call('DEL', key_job(job_id))
  if blobs then drop_blobs(job_id) end
  if wanted then
    --- @include wanted
    call('PEXPIREAT', key_results(job_id), no_earlier(string.format('%.0f', now + C.GRACE_MS), wanted))
  else
    call('PEXPIRE', key_results(job_id), C.GRACE_MS)
  end
  if told then -- whoever watches it has not seen the last of it yet
    call('PEXPIRE', key_live(job_id), C.GRACE_MS)
    call('PEXPIRE', key_log(job_id), C.GRACE_MS)
  end
  happened('finish', queue, job_id, nil, cycle, attempt, reason, worker)
  return 'ok ' .. id
end

-- One verdict; its word, and where the next one begins.
local function settle(at)
  local job_id, stop = ARGV[at], at + 10 + tonumber(ARGV[at + 9])
  local key = key_job(job_id)
  local got = call('HMGET', key, F.status, F.queue, F.token, F.result_ttl, F.call .. '#', F.meta .. '#',
    F.overrides .. '#', F.limit, F.unique, F.wanted, F.dependents, F.told)
  local status = got[1]
  if got[3] ~= ARGV[at + 1] then return trace_of(at, stop) or (status and 'stale' or 'gone'), stop end
  local verb, to, ttl = ARGV[at + 3], ARGV[at + 4], ARGV[at + 5]
  if verb == 'finish' then
    if not allowed('finish', status) then return 'stale', stop end
    if got[4] then -- it was changed, perhaps since the claim
      ttl = got[4]
      to = tonumber(ttl) == 0 and 'gone' or 'finished'
    end
  elseif verb == 'fail' then
    if not allowed('fail', status) then return 'stale', stop end
  else
    return otherwise(at, stop), stop
  end
  local moment
  if to ~= 'gone' then
    moment = dated[ttl]
    if not moment then
      moment = expiry(tonumber(ttl))
      dated[ttl] = moment
    end
    if got[10] then
      --- @include wanted
      moment = no_earlier(moment, got[10])
    end
  end
  if got[8] or got[9] or got[11] then
    local outcome = got[11] and (verb == 'fail' and got[11] ~= C.TELL_AS_FINISHED and 'failed' or 'finished')
    free_what_it_holds(job_id, got[8], got[9], outcome, moment or stamp)
  end
  local queue, blobs = got[2], got[5] or got[6] or got[7]
  later(left, key_home('started', queue), nil, job_id)
  if to == 'gone' then return vanish(job_id, queue, at, stop, blobs, got[10], got[12]), stop end
  local id, cycle, attempt, reason, worker = append(job_id, at + 10, stop - 1)
  call('HSET', key, F.status, to, F.ended, stamp)
  call('HDEL', key, F.token, F.place, F.asked, F.ttl_deadline, F.lapsed)
  later(entered, key_home(to, queue), moment, job_id)
  if moment ~= '+inf' then date(job_id, moment, blobs, got[12]) end
  happened(verb, queue, job_id, to, cycle, attempt, reason, worker)
  return 'ok ' .. id, stop
end
