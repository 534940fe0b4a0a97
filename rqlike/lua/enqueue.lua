-- enqueue: new jobs, or new cycles of jobs that ended, into one queue.
-- Needs: deny-oom, so that a full server refuses the whole call and the producer hears of it.
-- KEYS: prefix
-- ARGV: now, queue, mode ('' | 'atomic': all of them or none; and where they belong to a group 'group', for how many ms
--       others of it may still come (0 these are the last of several parts | - these are all), and its id), width, then
--       `width` arguments per job, which are the first of: id, call, nonce ('' where rqlike made the id), band ('' the
--       usual one; negative: at the front, and its own one when it comes back), due ('' at once | '+ms' from now | ms
--       of the epoch), unique ('' | as in F.unique), wish where another job has its id or its key ('' it is an error |
--       return | replace | join | join_or_raise), ttl_ms, failure_ttl_ms ('' default), meta, limit ('' none), needs
--       (lines of `wish id`, see include/depend.lua).
--       Of a single job with none of these options only id and call, without all that: most calls are such, and
--       each argument takes the producer a microsecond.
-- Answers: now, then per job its status where it is new, else {word, status, cycle, since, id of the job that is meant,
--          its fields where the caller wants it}; word is cycle | replayed | duplicate | held | cached | failed (see
--          include/identity.lua) | orphan, the job that is meant is none to depend on | circle, it waits for this one, or
--          crowd, it may (see include/circle.lua) | mixed, one before it in the call keeps that job from being replaced;
--          of an atomic call also twice, where one before it in the call has its id or its key, and refused, where another
--          one is the reason
-- Refuses: NOGROUP, where the group is none. A job that cannot be is the answer 'duplicate', 'orphan' or 'circle', and the
--          other jobs go on unless the call is atomic.
--- @include now
local queue, given = ARGV[2], ARGV
if #ARGV == 4 then
  local job_id, data = ARGV[3], ARGV[4]
  local key = key_job(job_id)
  local found = call('EXISTS', key, key_results(job_id), key_muted())
  -- as a rule no queue is muted, and none of the three is there
  local all_told = found == 0
  if not all_told then found = call('EXISTS', key, key_results(job_id)) end
  if found == 0 and #data <= C.CHUNKED_LIMIT then
    --- @include plain
    return plain(key, job_id, data, all_told)
  end
  given = {'', queue, '', 2, job_id, data}
end
--- @include place
--- @include chunked
--- @include ring
--- @include blob
--- @include drop_blobs
--- @include packed
--- @include happened
local FIRST, width = 5, tonumber(given[4])
local hold_ms, group = string.match(given[3], '^%a* ?group (%S+) (.+)$')
local count = (#given - FIRST + 1) / width
if group and not call('HGET', key_group(group), G.created) then return redis.error_reply('NOGROUP') end
local sequence = next_sequence(count)

-- The arguments of one job from ARGV[at], those that were left out as ''.
local function arguments(at)
  local id, data, nonce, band, due, unique, wish, ttl_ms, failure_ttl_ms, meta, limit, needs =
    unpack(given, at, at + width - 1)
  return id, data, nonce or '', band or '', due or '', unique or '', wish or '', ttl_ms or '', failure_ttl_ms or '',
    meta or '', limit or '', needs or ''
end

-- Whether nothing at all is known of any of these ids, as usual: neither a job nor the trace of one, nor who waits for one
-- that bore an id which people choose.
local function all_are_new()
  local keys, seen = {}, {}
  for at = FIRST, #given, width do
    local job_id = given[at]
    if seen[job_id] then return false end
    seen[job_id] = true
    keys[#keys + 1] = key_job(job_id)
    keys[#keys + 1] = key_results(job_id)
    if width > 2 and given[at + 2] ~= '' then keys[#keys + 1] = key_dependents(job_id) end
  end
  for first = 1, #keys, 500 do
    if call('EXISTS', unpack(keys, first, math.min(first + 499, #keys))) > 0 then return false end
  end
  return true
end

local function due_of(word)
  if word == '' then return nil end
  if string.sub(word, 1, 1) == '+' then return now + tonumber(string.sub(word, 2)) end
  return tonumber(word)
end

local fields, size
local function add(field, value)
  fields[size + 1], fields[size + 2] = field, value
  size = size + 2
end

local all_new, queued, scheduled, earliest = all_are_new(), {}, {}, nil
local members = {}
local answers = {now}
together = true

-- What was written so far into its homes.
local function settle_in()
  call('SADD', key_queues(), queue)
  chunked('ZADD', key_home('queued', queue), queued)
  chunked('ZADD', key_home('scheduled', queue), scheduled)
  if #queued > 0 then
    ring(queue, sequence, #queued / 2)
  elseif earliest then
    -- somebody idle must learn of a moment earlier than the one it sleeps for
    local head = call('ZRANGE', key_home('scheduled', queue), 0, 0, 'WITHSCORES')
    if tonumber(head[2]) >= earliest then ring(queue, sequence, 1) end
  end
  queued, scheduled, earliest = {}, {}, nil
  if #members > 0 then
    --- @include group
    entered_group(group, members)
    members = {}
  end
end

-- Where all are new and want no key there is nothing to ask, and the functions that ask are not made.
local who = nil
local function ask()
  if not who then
    --- @include identity
    --- @include mixture
    who = {identify = identify, begin_cycle = begin_cycle, forget = forget, take_key = take_key,
      take_free_key = take_free_key, unique_of = unique_of, let_go = let_go, load_job = load_job, mine = mine,
      keep_for = keep_for, note_taker = note_taker, taker_of = taker_of}
  end
  return who
end
local kept = {} -- {id = true}, see include/mixture.lua
local function identity(job_id, nonce, unique, wish, before)
  if all_new and unique == '' then return 'new' end
  return ask().identify(job_id, nonce, unique, wish, all_new, before, kept)
end

local REFUSALS = {duplicate = true, mixed = true, orphan = true, circle = true, crowd = true}

-- What is told of a job that is not written: `meant` stands in its place.
local function told_of(word, old, meant)
  if word == 'replayed' then return {word, old[1], tonumber(old[3]) or 1, old[4] or '0-0', meant} end
  local got = redis.pcall('HMGET', key_job(meant), F.status, F.cycle, F.since)
  if got.err then got = {} end
  local fine, flat = true, nil
  if not REFUSALS[word] then fine, flat = pcall(who.load_job, meant) end
  return {word, got[1] or '', tonumber(got[2]) or 1, got[3] or '0-0', meant, fine and flat or nil}
end

-- What it depends on, where it does.
local NONE = {}
local function dependencies(needs, coming)
  if needs == '' then return nil end
  if not who or not who.needed then
    who = who or ask()
    --- @include depend
    --- @include circle
    who.needed, who.depend, who.circle = needed, depend, circle
  end
  return who.needed(needs, coming or NONE)
end

-- What stands in the way of an atomic call, job by job; nil where nothing does. Writes nothing.
local function refusals()
  local found, ids, keys, coming = false, {}, {}, {}
  local own = {}
  local out = {now}
  for index = 1, count do
    local job_id, _, nonce, _, _, unique, wish, _, _, _, _, needs = arguments(FIRST + (index - 1) * width)
    local fine, word, old, meant = pcall(identity, job_id, nonce, unique, wish)
    if not fine then word, old, meant = 'duplicate', {}, job_id end
    if word == 'replayed' then return nil end -- nothing stood in its way when it came first
    if meant then who.keep_for(kept, word, meant) end
    local key = nil
    if unique ~= '' then _, key = who.unique_of(unique) end
    local earlier = ids[job_id] or key and keys[key]
    local twice = earlier and wish ~= 'return' and (word == 'new' or word == 'cycle')
    if not twice and (word == 'new' or word == 'cycle') then
      local open, _, missing = dependencies(needs, coming)
      local bad, parent
      if open and word == 'cycle' then bad, parent = who.circle(job_id, needs, coming, own) end
      local will_wait = {}
      for _, one in ipairs(open or {}) do will_wait[one[2]] = true end
      for how, one in string.gmatch(needs, '(%a+) ([^\n]+)') do
        if will_wait[one] or coming[one] then
          own[one] = own[one] or {}
          table.insert(own[one], ' ' .. how .. ' ' .. job_id)
        end
      end
      if missing then bad, parent = 'orphan', missing end
      if bad then word, meant = bad, parent end
      coming[job_id] = not earlier or nil
    end
    ids[job_id] = job_id
    if key then keys[key] = keys[key] or job_id end
    local bad = REFUSALS[word]
    out[index + 1] = twice and {'twice', '', 1, '0-0', earlier} or bad and told_of(word, old, meant)
      or {'refused', '', 1, '0-0', job_id}
    found = found or twice or bad
  end
  return found and out
end
if string.sub(given[3], 1, 6) == 'atomic' then
  local refused = refusals()
  if refused then return packed(refused) end
  kept = {}
end
local held = nil -- until when somebody else is adding to the group
if group then
  held = call('HGET', key_group(group), G.held)
  call('HSET', key_group(group), G.held, now + 1) -- not complete before the last of them is written
end

local function write(index)
  local job_id, data, nonce, band, due, unique, wish, ttl_ms, failure_ttl_ms, meta, limit, needs =
    arguments(FIRST + (index - 1) * width)
  local open, doomed, missing = dependencies(needs)
  local bad = missing and 'orphan'
  if open and #open > 0 and not all_new and not bad then bad, missing = who.circle(job_id, needs, NONE, NONE) end
  local has_key = all_new and unique ~= '' and not missing and ask().take_free_key(unique, job_id)
  local fine, word, old, meant, notice = true, 'new', nil, nil, nil
  if not has_key then
    fine, word, old, meant, notice = pcall(identity, job_id, nonce, unique, wish, not missing and settle_in or nil)
  end
  if not fine then return {'duplicate', '', 1, '0-0', job_id} end -- somebody else's key; the other jobs go on
  if word ~= 'new' and word ~= 'cycle' then
    who.keep_for(kept, word, meant)
    if word == 'replayed' then who.note_taker(job_id, unique) end
    return told_of(word, old, meant)
  end
  local taker = who and wish ~= 'replace' and who.taker_of(job_id, unique)
  if taker then return told_of(wish == '' and 'duplicate' or 'held', old, taker) end
  if bad then return told_of(bad, old, missing) end
  if wish == 'replace' then open, doomed = dependencies(needs) end -- one of them may have been in its way
  local deferred = open and (doomed or #open > 0)
  local cycle, since = 1, '0-0'
  if word == 'cycle' then
    fine, cycle, since = pcall(who.begin_cycle, job_id, old, notice)
    if not fine then return {'duplicate', '', 1, '0-0', job_id} end
  elseif not all_new then
    who.forget(job_id)
  end
  if unique ~= '' or not all_new then who.mine[job_id] = true end
  due, band = due_of(due), tonumber(band) or C.NORMAL_BAND
  -- where it is due later, the place keeps the band only; the place in it is given on promotion
  local score = place(math.max(band, C.FRONT_BAND), due and 0 or sequence + index - 1)
  local status = deferred and 'deferred' or due and 'scheduled' or 'queued'
  answers[index + 1] = status -- from here on there is something to undo
  fields, size = {F.status, status, F.queue, queue, F.created, stamp, F.place, score}, 8
  local extra = false
  if cycle > 1 then
    add(F.cycle, cycle)
    add(F.since, since)
  end
  if notice then add(F.notice, notice) end
  if group then
    add(F.group, group)
    extra = true
    add(F.dependents, '1') -- whoever ends it is to look for those who want to know
    members[#members + 1] = sequence + index - 1
    members[#members + 1] = job_id
  elseif word == 'cycle' and old[7] then
    extra = true
    add(F.dependents, '1') -- for those who wait until it is run again
  end
  if band ~= C.NORMAL_BAND and band ~= C.FRONT_BAND then add(F.band, math.abs(band)) end
  if nonce ~= '' then add(F.nonce, nonce) end
  if failure_ttl_ms ~= '' then add(F.failure_ttl, failure_ttl_ms) end
  if limit ~= '' or unique ~= '' or ttl_ms ~= '' or extra then add(F.extra, '1') end
  if limit ~= '' then add(F.limit, limit) end
  if unique ~= '' then
    add(F.unique, unique)
    if not has_key then who.take_key(unique, job_id) end
  end
  if deferred then
    if due then add(F.due, string.format('%.0f', due)) end
    if ttl_ms ~= '' then add(F.ttl, ttl_ms) end
    add(F.needs, #open)
    add(F.enrolled, sequence + index - 1)
    call('ZADD', key_home('deferred', queue), stamp, job_id)
    who.depend(job_id, sequence + index - 1, open)
  elseif due then
    local moment = string.format('%.0f', due)
    add(F.due, moment)
    if ttl_ms ~= '' then add(F.ttl, ttl_ms) end
    scheduled[#scheduled + 1] = moment
    scheduled[#scheduled + 1] = job_id
    if not earliest or due < earliest then earliest = due end
  else
    if ttl_ms ~= '' then
      local deadline = string.format('%.0f', now + tonumber(ttl_ms))
      add(F.ttl_deadline, deadline)
      call('ZADD', key_ttl(queue), deadline, job_id)
    end
    queued[#queued + 1] = score
    queued[#queued + 1] = job_id
  end
  if #data <= C.CHUNK then
    add(F.call .. '0', data)
  else
    put_blob(fields, F.call, job_id, data)
  end
  if meta ~= '' then put_blob(fields, F.meta, job_id, meta) end
  call('HSET', key_job(job_id), unpack(fields))
  happened('enqueue', queue, job_id, status, cycle)
  if doomed then
    --- @include leave
    if group then -- it comes and goes at once
      --- @include group
      entered_group(group, {table.remove(members, #members - 1), table.remove(members)})
    end
    leave('cancel', job_id, load_leaving(job_id), 'canceled', '', 'dependency')
    status = 'canceled'
  end
  return word == 'new' and status or {word, status, cycle, since, job_id}
end

-- What `write` comes to for a job of which nothing is known, and nothing is said but its call.
local function write_plain(index)
  local job_id, data = given[FIRST + 2 * index - 2], given[FIRST + 2 * index - 1]
  local score = place(C.NORMAL_BAND, sequence + index - 1)
  answers[index + 1] = 'queued'
  queued[2 * index - 1], queued[2 * index] = score, job_id
  happened('enqueue', queue, job_id, 'queued')
  local plain = {F.status, 'queued', F.queue, queue, F.created, stamp, F.place, score, F.call .. '0', data}
  if #data > C.CHUNK then
    plain[9], plain[10] = nil, nil
    put_blob(plain, F.call, job_id, data)
  end
  call('HSET', key_job(job_id), unpack(plain))
  return 'queued'
end

-- Nothing is left of what was written, where one of the keys that all share is somebody else's.
local function undo()
  if group then call('HSET', key_group(group), G.held, held or '0') end
  for index = 1, count do
    local job_id, _, _, _, _, unique = arguments(FIRST + (index - 1) * width)
    local answer = answers[index + 1]
    if answer and (type(answer) ~= 'table' or answer[1] == 'cycle') then
      redis.pcall('ZREM', key_home('queued', queue), job_id)
      redis.pcall('ZREM', key_home('scheduled', queue), job_id)
      redis.pcall('ZREM', key_home('deferred', queue), job_id)
      redis.pcall('ZREM', key_home('canceled', queue), job_id) -- one that came and went at once
      redis.pcall('ZREM', key_ttl(queue), job_id)
      if unique ~= '' then who.let_go(job_id, unique, true) end
      if group then
        redis.pcall('ZREM', key_members(group), job_id)
        redis.pcall('SREM', key_pending(group), job_id)
      end
      call('DEL', key_job(job_id), key_live(job_id), key_log(job_id))
      drop_blobs(job_id)
      redis.pcall('PEXPIRE', key_results(job_id), C.GRACE_MS) -- of a cycle before
    end
  end
end

local fine, problem = pcall(function()
  local write_one = all_new and width == 2 and not group and write_plain or write
  for index = 1, count do answers[index + 1] = write_one(index) end
  settle_in()
  if group then
    --- @include group
    --- @include firmly
    if hold_ms ~= '-' then held = hold_ms ~= '0' and string.format('%.0f', now + hold_ms) end
    call('HSET', key_group(group), G.held, held or '0', G.queue, queue)
    if hold_ms == '0' then
      firmly('ZREM', key_unsettled(), '- open ' .. group)
    elseif hold_ms ~= '-' then
      firmly('ZADD', key_unsettled(), held, '- open ' .. group)
    end
    complete(group, queue)
  end
end)
if not fine then
  undo()
  for _, fields in pairs(unheard) do
    for at = #fields, 2, -2 do
      if string.sub(fields[at], 1, 8) == 'enqueue ' then
        table.remove(fields, at)
        table.remove(fields, at - 1)
      end
    end
  end
  tell_all()
  return redis.error_reply(type(problem) == 'table' and problem.err or tostring(problem))
end
tell_all()
return packed(answers)
