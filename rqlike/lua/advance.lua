-- advance: one turn of a worker. Settles what its horses brought, sweeps, and claims what it needs.
-- Needs: assembled twice: `advance` (deny-oom) where an outcome carries a value, `advance_oom` (allow-oom) elsewhere
--        and where the first was refused: a full server must still learn what has ended.
-- KEYS: prefix
-- ARGV: now, worker, call number, token prefix, lease_ms, want, how many of these may have a limit, mode (letters: s
--       sweep, p prune, w woken), number of queues, queues…, number of verdicts, verdicts… (see include/settle.lua)
-- Answers: now, {word per verdict: ok or already, with the id of its entry | stale | gone | broken},
--          {{job_id, fields before, attempt, token}…} claimed (of a call made again {job_id, fields}),
--          {{job_id, fields, lapsed token}…} recovered, next moment to watch or '', 1 where there is more to prune
--          plus 2 where there is more to look at for a claim, {{queue, job_id or '', problem}…} what could not be
--          worked with; and where there is any of it {{{key, timetable, slot, revision, fired}…} schedules for this
--          worker to fire, {name…} queues that are paused, '' where all are, where it wanted jobs}
-- Refuses: nothing. The same call number gets the same grants again, an older one gets none.
--- @include now
--- @include packed
--- @include swap
--- @include settle
local worker, number, prefix, lease_ms = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local want, mode = tonumber(ARGV[6]), ARGV[8]
local queues = {}
for index = 1, tonumber(ARGV[9]) do queues[index] = ARGV[9 + index] end
local at = 11 + #queues
local words, problems = {}, {}
together = true

-- A key that something else has written into must not keep the other jobs, or the other queues, from being served.
local function broken(queue, job_id, problem)
  --- @include bury
  if is_refusal(told(problem)) then
    tell_all() -- of what was moved before
    error(problem, 0)
  end
  local why = job_id ~= '' and bury(job_id, queue and {queue} or queues, problem) or told(problem)
  problems[#problems + 1] = {queue or '', job_id, why}
end

local index, count = 1, tonumber(ARGV[at - 1])
local function settle_all()
  while index <= count do
    words[index], at = settle(at)
    index = index + 1
  end
end
while true do
  local settled, problem = pcall(settle_all)
  if settled then break end
  broken(nil, ARGV[at], problem)
  words[index] = 'broken'
  index, at = index + 1, at + 10 + tonumber(ARGV[at + 9])
end
rehome(broken)
-- who waits for what has ended may be claimed by this very call; where there are more, the worker is to look again at once
local more_to_tell = false
if untold then
  --- @include dependents
  more_to_tell = tell_dependents(broken)
end
if want == 0 and mode == '' then
  tell_all()
  return packed({now, words, {}, {}, more_to_tell and stamp or '', 0, problems})
end

-- What this worker called last: number, moment to watch or -, the lease it gave, prefix. This very call once more, where
-- its reply was lost: nobody knew of what it was granted, so nobody has renewed it, and it is found by its lease among
-- what is started, if it still carries a token minted then. A call older than that was left behind in a connection; it
-- may only settle, since nobody would hear of what it was granted. A record of another instance of the same name says
-- nothing.
local lease, base = string.format('%.0f', now + lease_ms), prefix .. '-' .. number .. '-'
local record = key_call(worker)
local kept = swap(record, number .. ' - ' .. lease .. ' ' .. prefix, 'PX', C.CALL_TTL_MS)
if kept then
  local last, watched, given, of = string.match(kept, '^(%d+) (%S+) (%d+) (.*)$')
  if of == prefix and tonumber(last) >= tonumber(number) then
    call('SET', record, kept, 'PX', C.CALL_TTL_MS)
    tell_all()
    if last ~= number then return packed({now, words, {}, {}, '', 0, problems}) end
    --- @include again
    --- @include pauses
    local granted, lapsed = granted_before(queues, given, base)
    local _, names = pauses_of(want > 0 and queues or {}, broken, true)
    return packed({now, words, granted, lapsed, watched == '-' and '' or watched, 0, problems, names and {{}, names} or nil})
  end
end

local granted, lapsed, slots, moment, more, dug = {}, {}, {}, nil, false, false
local paused, names
local minted = 0
local function mint()
  minted = minted + 1
  return base .. minted
end

local idle = false
if string.find(mode, 's', 1, true) then
  --- @include contact
  local open = recovery_is_open()
  local keys = {key_watch(), key_schedules(), key_pauses(), key_unsettled()}
  for _, queue in ipairs(queues) do
    local size = #keys
    keys[size + 1], keys[size + 2], keys[size + 3] = key_home('queued', queue), key_home('started', queue), key_ttl(queue)
    keys[size + 4], keys[size + 5] = key_home('scheduled', queue), key_markers(queue)
  end
  local alive = 0
  for first = 1, #keys, 500 do alive = alive + call('EXISTS', unpack(keys, first, math.min(first + 499, #keys))) end
  idle = alive == 0
  if not idle then
    --- @include namespace
    moment = sweep_namespace(worker, slots, broken)
    if want > 0 and call('EXISTS', key_pauses()) == 1 then
      --- @include pauses
      paused, names = pauses_of(queues, broken)
    end
    --- @include sweep
    for _, queue in ipairs(queues) do
      if open and #lapsed < C.RECOVER_LIMIT then
        local fine, problem = pcall(recover, queue, lease, mint, lapsed, broken)
        if not fine then broken(queue, '', problem) end
      end
      local fine, next_moment = pcall(promote_and_expire, queue, worker, broken, paused and paused[queue])
      if not fine then
        broken(queue, '', next_moment)
      elseif next_moment and (not moment or next_moment < moment) then
        moment = next_moment
      end
    end
  end
  if string.find(mode, 'p', 1, true) then
    --- @include prune
    for _, queue in ipairs(queues) do
      local fine, rest = pcall(prune, queue)
      if fine then more = rest or more else broken(queue, '', rest) end
    end
    redis.pcall('ZREMRANGEBYSCORE', key_workers(), '-inf', stamp)
  end
end

if not idle then
  if want > 0 and not paused then
    -- as a rule neither is there
    local some = call('EXISTS', key_pauses(), key_muted())
    all_told = some == 0
    if some > 0 and call('EXISTS', key_pauses()) == 1 then
      --- @include pauses
      paused, names = pauses_of(queues, broken)
    end
  end
  --- @include take
  local woken = string.find(mode, 'w', 1, true)
  local state = {free = tonumber(ARGV[7]), shut = {}}
  for _, queue in ipairs(queues) do
    local fine, emptied, rest = true, paused and paused[queue], false
    if emptied then
      call('DEL', key_markers(queue)) -- whoever took one would look in vain
    elseif want > #granted then
      fine, emptied, rest = pcall(take, queue, want - #granted, granted, worker, mint, lease, broken, state)
    end
    if not fine then broken(queue, '', emptied) end
    dug = dug or rest
    -- a marker was spent on this call: where jobs remain, the next idle worker gets one in its place
    if woken and not emptied and call('EXISTS', key_home('queued', queue)) == 1 then
      --- @include ring
      ring(queue, now, 1)
    end
  end
  if state.parked then
    --- @include lookout
    local next_moment = watch_namespace(worker)
    if next_moment and (not moment or next_moment < moment) then moment = next_moment end
  end
end
tell_all()
if more_to_tell then moment = now end
if moment then
  moment = string.format('%.0f', moment)
  call('SET', record, number .. ' ' .. moment .. ' ' .. lease .. ' ' .. prefix, 'PX', C.CALL_TTL_MS)
end
more = (more and 1 or 0) + (dug and 2 or 0)
local extra = (#slots > 0 or names) and {slots, names or {}} or nil
return packed({now, words, granted, lapsed, moment or '', more, problems, extra})
