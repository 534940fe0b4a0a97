--- @gives put_off
--- @include now
--- @include firmly
-- put_off(job_id, outcome, moment): a job has ended, and others wait for it. They are told in bounded steps, from a list
-- that is taken aside here, so that whoever comes to wait for the job from now on is not told of this end. outcome:
-- finished | failed, any end without success | gone | erase, gone and they with it. Its group learns too, where the job is
-- not about to begin another cycle: it is kept until `moment`.
function put_off(job_id, outcome, moment)
  local got = moment and redis.pcall('HMGET', key_job(job_id), F.group, F.queue)
  if got and not got.err and got[1] then
    --- @include group
    left_group(got[1], job_id, got[2], moment)
  end
  if call('EXISTS', key_dependents(job_id)) == 0 then return end
  if outcome == 'gone' or outcome == 'erase' then firmly('ZREM', key_unsettled(), '- gone ' .. job_id) end
  local serial = redis.pcall('INCR', key_sequence())
  if type(serial) ~= 'number' then serial = now .. math.random(1000, 9999) end -- no counter; the next enqueue mends it
  -- first: a list that is in no set is worked through by nobody
  firmly('ZADD', key_unsettled(), stamp, serial .. ' ' .. outcome .. ' ' .. job_id)
  call('RENAME', key_dependents(job_id), key_telling(serial))
end
