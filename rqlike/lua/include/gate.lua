--- @include waiting
-- gate(state, …): whether jobs with a limit may start in this call. state: of one call of a worker; `free`: how many more
-- such jobs it can begin; `shut`: the moments of limits that are known to let nobody start, by their texts.

-- nil where a job may start now, else the moment at which somebody is to look again. (GCRA: a start is due when the
-- theoretical arrival time is no more than the burst away.)
local function barred_until(limit)
  if limit.concurrency and in_use(limit) >= limit.concurrency then return now + C.AUDIT_MS end
  local tat = limit.every and tat_of(limit)
  local due = tat and tat - (limit.burst - 1) * limit.every
  return due and now < due and math.ceil(due) or nil
end

-- To the end of its queue, behind all that may start.
local function park(state, queue, job_id, place, limit, moment)
  local sequence = place % C.BAND_WIDTH
  firmly('ZADD', key_waiting(limit.key), string.format('%.0f', place), job_id)
  look_by(limit.key, moment)
  call('ZADD', key_home('queued', queue), string.format('%.0f', C.HELD_PLACE + sequence), job_id)
  state.parked = true
end

-- admitted(state, queue, job_id, text, place): the limit of a job that may start; nil where it was parked; false where it
-- may start, but this worker has no horse for it.
local function admitted(state, queue, job_id, text, place)
  local known = state.shut[text]
  if known then
    park(state, queue, job_id, place, known[1], known[2])
    return nil
  end
  local limit = limit_of(text)
  if not limit then error('its limit is none', 0) end
  local moment = barred_until(limit)
  if moment then
    state.shut[text] = {limit, moment}
    park(state, queue, job_id, place, limit, moment)
    return nil
  end
  limit.waited = firmly('ZSCORE', key_limits(), limit.key)
  if limit.waited then
    local head, unsure = live_head(limit.key, C.SWEEP_LIMIT)
    if unsure then -- somebody may wait behind ids that are none
      park(state, queue, job_id, place, limit, now)
      return nil
    end
    if head and head[3] < place then -- who came first goes first
      park(state, queue, job_id, place, limit, now + C.RELOOK_MS)
      put_back(limit.key, head)
      state.returned = true
      return nil
    end
  end
  if state.free <= 0 then return false end
  return limit
end

-- The job has started: its permit is taken. Where jobs have waited for this start, what the claim is late is made up for.
local function take_permit(state, job_id, limit)
  state.free = state.free - 1
  if limit.concurrency then firmly('SADD', key_holders(limit.key), job_id) end
  if not limit.every then return end
  local tat = math.max(tat_of(limit) or 0, limit.waited and now - C.LATE_MS or now) + limit.every
  local gone = string.format('%.0f', math.max(math.ceil(tat), now) + C.LATE_MS)
  firmly('SET', key_tat(limit.key), string.format('%.3f', tat), 'PXAT', gone)
end

-- Of the first jobs of a queue that are held back: those that no limit key knows of any more are at their places again, or
-- they would be held for ever. Whether there were such.
local function set_free(queue, popped, first)
  local found = false
  for at = first, math.min(#popped - 1, first + 14), 2 do
    local job_id = popped[at]
    local got = redis.pcall('HMGET', key_job(job_id), F.limit, F.place)
    local limit = not got.err and got[1] and limit_of(got[1])
    if not limit or not firmly('ZSCORE', key_waiting(limit.key), job_id) or not firmly('ZSCORE', key_limits(), limit.key)
    then
      local place = not got.err and tonumber(got[2])
      if not (place and place >= 0 and place < C.HELD_PLACE) then place = C.NORMAL_BAND * C.BAND_WIDTH end
      call('ZADD', key_home('queued', queue), string.format('%.0f', place), job_id)
      found = true
    end
  end
  return found
end
