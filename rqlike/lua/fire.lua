-- fire: slots of schedules become jobs, and the schedules go on to their next ones: in one step, so each slot is one
-- job however many workers try. What fires and what is next was decided by the worker, from what it was handed over.
-- KEYS: prefix
-- ARGV: now, per schedule: key, revision, its next slot as handed over, next slot from now on ('' it is over), number of
--       slots that are missed, number of those that fire, then for each of these: slot, job id
--       A slot whose job would hold a unique key that another job holds does not fire, and is counted as missed.
--       Of jobs that depend on others as many are made as touch 500 jobs with these, and at least one of the call: the
--       schedule is due with the rest at once.
-- Answers: now, per schedule: number of jobs made, -1 where another worker was quicker or the schedule has changed, or
--          what is wrong with what is stored
--- @include now
--- @include create
--- @include ring
--- @include packed
local answers = {now}
local left, more = C.TOUCH_LIMIT, false -- jobs that this call may still touch

-- How many jobs one job of a schedule touches.
local function share_of(needs)
  if not needs or needs == '' then return 1 end
  local _, breaks = string.gsub(needs, '\n', '')
  return 2 + breaks
end

local function fire(key, revision, slot, next_slot, missed, first, count)
  local schedule = key_schedule(key)
  local state = call('HMGET', schedule, S.revision, S.next, S.paused)
  if state[1] ~= revision or state[2] ~= slot or state[3] then return -1 end
  local template, made, held, queued = call('HMGET', schedule, unpack(TEMPLATE_FIELDS)), 0, 0, 0
  local share = share_of(template[10])
  local most = math.max(math.floor(left / share), left == C.TOUCH_LIMIT and 1 or 0)
  if most < count then next_slot, count, more = ARGV[first + 2 * most], most, true end
  left = left - count * share
  local sequence = next_sequence(count)
  local fields = {S.next, next_slot}
  for index = 0, count - 1 do
    local at, job_id = ARGV[first + 2 * index], ARGV[first + 2 * index + 1]
    if call('EXISTS', key_job(job_id), key_results(job_id)) == 0 then
      local holder, is_queued = create(job_id, template, sequence + index, at)
      if holder then
        held = held + 1
      else
        if is_queued then queued = queued + 1 end
        remember(key, at .. ' ' .. stamp)
        made = made + 1
        fields[3], fields[4], fields[5], fields[6] = S.last, at, S.last_at, stamp
      end
    end
  end
  call('HSET', schedule, unpack(fields))
  if made > 0 then
    call('HINCRBY', schedule, S.fired, made)
    if queued > 0 then ring(template[1], sequence, queued) end
  end
  if missed + held > 0 then call('HINCRBY', schedule, S.missed, missed + held) end
  call('ZADD', key_schedules(), next_slot == '' and C.NEVER_MS or next_slot, key)
  return made
end

local at = 2
while at <= #ARGV do
  local count = tonumber(ARGV[at + 5])
  local fine, answer = pcall(fire, ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], at + 6, count)
  if not fine then answer = type(answer) == 'table' and answer.err or tostring(answer) end
  answers[#answers + 1] = answer
  at = at + 6 + 2 * count
end
if more then
  --- @include summon
  summon(now)
end
return packed(answers)
