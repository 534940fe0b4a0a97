-- requeue: a new cycle for jobs that ended; their history stays. The call and its policies stay as they are.
-- KEYS: prefix   ARGV: now, nonce, front ('1' | '0'), job id…
-- Answers: {word per job}: ok | NOJOB | WRONGSTATE status | HELD status id, another job has its unique key | BROKEN problem.
--          The same nonce again is answered 'ok'.
--- @include now
--- @include place
--- @include ring
--- @include move
--- @include entry
--- @include unique
local nonce, front = ARGV[2], ARGV[3] == '1'
local count = #ARGV - 3
local sequence = next_sequence(count)
local words, rung = {}, {}

-- Of its own priority; what is none was not written by rqlike.
local function own_band(stored)
  local band = tonumber(stored)
  return band and band > C.FRONT_BAND and band < 2 * C.NORMAL_BAND and math.floor(band) or C.NORMAL_BAND
end

local function restart(job_id, got, number)
  local status, queue, cycle = got[1], got[2], (tonumber(got[3]) or 1) + 1
  local newest = newest_entry(job_id)
  if newest and entry_field(newest, E.notice) then call('XDEL', key_results(job_id), newest[1]) end
  local dependents = call('HGET', key_job(job_id), F.dependents)
  if dependents then redis.pcall('ZREM', key_unsettled(), '- gone ' .. job_id) end -- it lives, and tells at its end
  if dependents == C.TELL_AS_FINISHED then
    call('HSET', key_job(job_id), F.dependents, '1') -- how it was canceled says nothing of this cycle
  end
  call('PERSIST', key_results(job_id))
  call('PERSIST', key_job(job_id))
  for _, field in ipairs({F.call, F.meta, F.overrides}) do call('PERSIST', key_blob(field, job_id)) end
  if got[8] then -- as in `begin_cycle`
    call('DEL', key_live(job_id))
    call('PERSIST', key_log(job_id))
  end
  call('ZREM', key_home(status, queue), job_id)
  call('HDEL', key_job(job_id), F.attempt, F.crashes, F.repeats, F.started, F.ended, F.worker, F.due, F.ttl,
    F.wanted)
  if got[6] then take_key(got[6], job_id) end
  if got[7] then
    --- @include group
    entered_group(got[7], {number, job_id})
  end
  local score = place(front and C.FRONT_BAND or own_band(got[5]), number)
  enter('requeue', job_id, queue, status, 'queued', score, {F.place, score, F.cycle, cycle,
    F.since, newest and newest[1] or '0-0', F.enqueued, now, F.act, nonce}, cycle)
  rung[queue] = (rung[queue] or 0) + 1
end

for index = 0, count - 1 do
  local job_id = ARGV[4 + index]
  local got = redis.pcall('HMGET', key_job(job_id), F.status, F.queue, F.cycle, F.act, F.band, F.unique, F.group, F.told)
  local holder = not got.err and got[6] and holder_of(got[6])
  if got.err then
    words[#words + 1] = 'BROKEN ' .. got.err
  elseif not got[1] then
    words[#words + 1] = 'NOJOB'
  elseif got[4] == nonce then
    words[#words + 1] = 'ok'
  elseif not allowed('requeue', got[1]) then
    words[#words + 1] = 'WRONGSTATE ' .. got[1]
  elseif holder and holder ~= job_id then
    local status = redis.pcall('HGET', key_job(holder), F.status)
    words[#words + 1] = 'HELD ' .. (type(status) == 'string' and status or '-') .. ' ' .. holder
  else
    local fine, problem = pcall(restart, job_id, got, sequence + index)
    words[#words + 1] = fine and 'ok' or 'BROKEN ' .. (type(problem) == 'table' and problem.err or tostring(problem))
  end
end
for queue, number in pairs(rung) do ring(queue, sequence, number) end
return words
