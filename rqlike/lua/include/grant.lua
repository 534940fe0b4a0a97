--- @include now
--- @include move
--- @include blob
--- @include leave
-- take(queue, want): claims up to `want` jobs of a queue for a worker: started, token, lease in one step.
-- Answers {job_id, fields}, the fields as they are after the claim (the later of two counts).
local function grant(job_id, flat, queue, score, worker, token, lease_ms)
  local deadline = get(flat, F.ttl_deadline)
  if deadline then redis.call('ZREM', key_ttl(queue), job_id) end
  local claim = {F.token, token, F.worker, worker, F.started, now, F.attempt, (tonumber(get(flat, F.attempt)) or 0) + 1}
  enter('claim', job_id, queue, 'queued', 'started', now + lease_ms, claim)
  flat[#flat + 1] = F.status
  flat[#flat + 1] = 'started'
  for at = 1, #claim do flat[#flat + 1] = claim[at] end
  return {job_id, flat}
end

local function take(queue, want, worker, mint, lease_ms)
  local granted, home = {}, key_home('queued', queue)
  while want > #granted do
    local popped = redis.call('ZPOPMIN', home, want - #granted)
    for at = 1, #popped, 2 do
      local job_id = popped[at]
      local flat = load_job(job_id)
      local deadline = tonumber(get(flat, F.ttl_deadline))
      if deadline and deadline <= now and (tonumber(get(flat, F.attempt)) or 0) == 0 then
        leave('expire', job_id, load_leaving(job_id), 'expired')
      elseif allowed('claim', get(flat, F.status)) then
        granted[#granted + 1] = grant(job_id, flat, queue, popped[at + 1], worker, mint(), lease_ms)
      end
    end
    if redis.call('EXISTS', home) == 0 then
      redis.call('DEL', key_markers(queue))
      break
    end
  end
  return granted
end
