-- fire: slots of schedules become jobs, and the schedules go on to their next ones: in one step, so each slot is one
-- job however many workers try. What fires and what is next was decided by the worker, from what it was handed over.
-- KEYS: prefix
-- ARGV: now, per schedule: key, revision, its next slot as handed over, next slot from now on ('' it is over), number of
--       slots that are missed, number of those that fire, then for each of these: slot, job id
--       A slot whose job would hold a unique key that another job holds does not fire, and is counted as missed.
-- Answers: now, per schedule: number of jobs made, -1 where another worker was quicker or the schedule has changed, or
--          what is wrong with what is stored
--- @include now
--- @include create
--- @include ring
--- @include packed
local answers = {now}

local function fire(key, revision, slot, next_slot, missed, first, count)
  local schedule = key_schedule(key)
  local state = call('HMGET', schedule, S.revision, S.next, S.paused)
  if state[1] ~= revision or state[2] ~= slot or state[3] then return -1 end
  local template, made, held, sequence = call('HMGET', schedule, unpack(TEMPLATE_FIELDS)), 0, 0, next_sequence(count)
  local fields = {S.next, next_slot}
  for index = 0, count - 1 do
    local at, job_id = ARGV[first + 2 * index], ARGV[first + 2 * index + 1]
    if call('EXISTS', key_job(job_id), key_results(job_id)) == 0 then
      if create(job_id, template, sequence + index, at) then
        held = held + 1
      else
        remember(key, at .. ' ' .. stamp)
        made = made + 1
        fields[3], fields[4], fields[5], fields[6] = S.last, at, S.last_at, stamp
      end
    end
  end
  call('HSET', schedule, unpack(fields))
  if made > 0 then
    call('HINCRBY', schedule, S.fired, made)
    ring(template[1], sequence, made)
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
return packed(answers)
