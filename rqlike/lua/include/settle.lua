--- @include now
--- @include chunked
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

-- One verdict; its word, and where the next one begins.
local function settle(at)
  local job_id, stop = ARGV[at], at + 10 + tonumber(ARGV[at + 9])
  local key = key_job(job_id)
  local got = call('HMGET', key, F.status, F.queue, F.token, F.extra)
  local status, extra = got[1], got[4]
  if got[3] ~= ARGV[at + 1] then
    --- @include trace
    return trace_of(at, stop) or (status and 'stale' or 'gone'), stop
  end
  local verb, to, ttl = ARGV[at + 3], ARGV[at + 4], ARGV[at + 5]
  if verb == 'finish' then
    if not allowed('finish', status) then return 'stale', stop end
  elseif verb == 'fail' then
    if not allowed('fail', status) then return 'stale', stop end
  else
    --- @include otherwise
    return go_on_or_back(at, stop), stop
  end
  if extra then
    extra = call('HMGET', key, F.result_ttl, F.call .. '#', F.meta .. '#', F.overrides .. '#', F.limit, F.unique,
      F.wanted, F.dependents, F.told)
    if extra[1] and verb == 'finish' then -- it was changed, perhaps since the claim
      ttl = extra[1]
      to = tonumber(ttl) == 0 and 'gone' or 'finished'
    end
  end
  local moment
  if to ~= 'gone' then
    moment = dated[ttl]
    if not moment then
      moment = expiry(tonumber(ttl))
      dated[ttl] = moment
    end
  end
  local queue, blobs, told = got[2], nil, nil
  if extra then
    local wanted
    blobs, wanted, told = extra[2] or extra[3] or extra[4], extra[7], extra[9]
    if wanted and moment then
      --- @include wanted
      moment = no_earlier(moment, wanted)
    end
    -- what a limit counts is over, it holds its unique key no more, and who waits for it is to be told
    if extra[5] then
      --- @include release
      release(job_id, extra[5])
    end
    if extra[6] then
      --- @include unique
      let_go(job_id, extra[6])
    end
    if extra[8] then
      --- @include put_off
      put_off(job_id, verb == 'fail' and extra[8] ~= C.TELL_AS_FINISHED and 'failed' or 'finished', moment or stamp)
      untold = true
    end
  end
  later(left, key_home('started', queue), nil, job_id)
  if to == 'gone' then
    --- @include vanish
    return vanish(job_id, queue, at, stop, blobs, extra and extra[7], told), stop
  end
  local id, cycle, attempt, reason, worker = append(job_id, at + 10, stop - 1)
  call('HSET', key, F.status, to, F.ended, stamp)
  if extra then
    call('HDEL', key, F.token, F.place, F.asked, F.ttl_deadline, F.lapsed)
  else
    call('HDEL', key, F.token, F.place)
  end
  later(entered, key_home(to, queue), moment, job_id)
  if moment ~= '+inf' then date(job_id, moment, blobs, told) end
  happened(verb, queue, job_id, to, cycle, attempt, reason, worker)
  return 'ok ' .. id, stop
end
