-- advance: one turn of a worker. Settles what its horses brought, sweeps, and claims what it needs.
-- Needs: assembled twice: `advance` (deny-oom) where an outcome carries a value, `advance_oom` (allow-oom) elsewhere
--        and where the first was refused: a full server must still learn what has ended.
-- KEYS: prefix
-- ARGV: now, worker, call number, token prefix, lease_ms, want, mode (letters: s sweep, p prune, w woken),
--       number of queues, queues…, number of verdicts, verdicts… (see include/settle.lua)
-- Answers: now, {word per verdict: ok or already, with the id of its entry | stale | gone},
--          {{job_id, fields}…} claimed, {{job_id, fields, lapsed token}…} recovered, next moment to watch or ''
-- Refuses: nothing. The same call number gets the same grants again, an older one gets none.
--- @include now
--- @include settle
--- @include sweep
--- @include grant
--- @include packed
local worker, number, prefix, lease_ms = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local want, mode = tonumber(ARGV[6]), ARGV[7]
local queues = {}
for index = 1, tonumber(ARGV[8]) do queues[index] = ARGV[8 + index] end
local at = 9 + #queues

local minted = 0
local function mint()
  minted = minted + 1
  return prefix .. '-' .. number .. '-' .. minted
end

local words = {}
local verdicts = tonumber(ARGV[at])
at = at + 1
for index = 1, verdicts do
  local verdict
  verdict, at = read_verdict(at)
  words[index] = settle(verdict)
end

-- What this worker was granted last. This very call once more, where its reply was lost: those jobs that still carry
-- the tokens minted then. A call older than that was left behind in a connection; it may only settle, since nobody
-- would hear of what it was granted. A record of another instance of the same name says nothing.
local kept = redis.call('GET', key_call(worker))
local last = kept and cjson.decode(kept)
if last and last.prefix == prefix and tonumber(last.number) >= tonumber(number) then
  local granted, lapsed = {}, {}
  if last.number ~= number then return packed({now, words, granted, lapsed, ''}) end
  for _, grant_ in ipairs(last.grants) do
    local flat = load_job(grant_[1])
    if get(flat, F.token) == grant_[2] then
      if grant_[3] then
        lapsed[#lapsed + 1] = {grant_[1], flat, grant_[3]}
      else
        granted[#granted + 1] = {grant_[1], flat}
      end
    end
  end
  return packed({now, words, granted, lapsed, last.moment})
end

local granted, lapsed, moment = {}, {}, nil
if string.find(mode, 's', 1, true) then
  local open = recovery_is_open()
  for _, queue in ipairs(queues) do
    if open and #lapsed < C.RECOVER_LIMIT then
      for _, one in ipairs(recover(queue, lease_ms, mint, C.RECOVER_LIMIT - #lapsed)) do lapsed[#lapsed + 1] = one end
    end
    promote(queue)
    expire(queue)
    if string.find(mode, 'p', 1, true) then prune(queue) end
    local next_moment = moment_to_watch(queue, worker)
    if next_moment and (not moment or next_moment < moment) then moment = next_moment end
  end
end
local woken = string.find(mode, 'w', 1, true)
for _, queue in ipairs(queues) do
  if want > #granted then
    for _, one in ipairs(take(queue, want - #granted, worker, mint, lease_ms)) do granted[#granted + 1] = one end
  end
  -- a marker was spent on this call: where jobs remain, the next idle worker gets one in its place
  if woken and redis.call('ZCARD', key_home('queued', queue)) > 0 then ring(queue, now, 1) end
end
moment = moment and string.format('%.0f', moment) or ''
if want > 0 or string.find(mode, 's', 1, true) then
  local grants = {}
  for _, one in ipairs(granted) do grants[#grants + 1] = {one[1], get_last(one[2], F.token)} end
  for _, one in ipairs(lapsed) do grants[#grants + 1] = {one[1], get_last(one[2], F.token), one[3]} end
  redis.call('SET', key_call(worker), cjson.encode({prefix = prefix, number = number, grants = grants,
    moment = moment}), 'PX', C.WORKER_TTL_MS)
end
return packed({now, words, granted, lapsed, moment})
