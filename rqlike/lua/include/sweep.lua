--- @include now
--- @include place
--- @include ring
--- @include move
--- @include blob
--- @include leave
--- @include contact
-- What time alone has made due in a queue: lapsed leases, due jobs, missed deadlines, dead members of indexes.

-- Hands over lapsed executions under new tokens; they stay started. Answers {job_id, fields, lapsed token}.
local function recover(queue, lease_ms, mint, limit)
  local handed = {}
  local started = key_home('started', queue)
  for _, job_id in ipairs(redis.call('ZRANGEBYSCORE', started, '-inf', now, 'LIMIT', 0, limit)) do
    local flat = load_job(job_id)
    -- where a rescuer was lost too, it is still the first execution that is judged
    local status, lapsed = get(flat, F.status), get(flat, F.lapsed) or get(flat, F.token)
    if allowed('recover', status) then
      local token = mint()
      enter('recover', job_id, queue, status, 'started', now + lease_ms, {F.token, token, F.lapsed, lapsed})
      flat[#flat + 1] = F.token
      flat[#flat + 1] = token
      handed[#handed + 1] = {job_id, flat, lapsed}
    else
      redis.call('ZREM', started, job_id)
    end
  end
  return handed
end

local function promote_one(job_id, queue, sequence)
  local got = redis.call('HMGET', key_job(job_id), F.status, F.place, F.ttl)
  redis.call('ZREM', key_home('scheduled', queue), job_id)
  if not allowed('promote', got[1]) then return 0 end
  local band = math.floor((tonumber(got[2]) or C.NORMAL_BAND * C.BAND_WIDTH) / C.BAND_WIDTH)
  local score = place(band, sequence)
  local fields = {F.place, score}
  if got[3] then
    local deadline = string.format('%.0f', now + tonumber(got[3]))
    fields[3], fields[4] = F.ttl_deadline, deadline
    redis.call('ZADD', key_ttl(queue), deadline, job_id)
  end
  enter('promote', job_id, queue, got[1], 'queued', score, fields)
  redis.call('HDEL', key_job(job_id), F.due, F.ttl)
  return 1
end

local function promote(queue)
  local due = redis.call('ZRANGEBYSCORE', key_home('scheduled', queue), '-inf', now, 'LIMIT', 0, C.SWEEP_LIMIT)
  if #due == 0 then return end
  local sequence, moved = next_sequence(#due), 0
  for index, job_id in ipairs(due) do moved = moved + promote_one(job_id, queue, sequence + index - 1) end
  if moved > 0 then ring(queue, sequence, moved) end
end

local function expire(queue)
  local late = redis.call('ZRANGEBYSCORE', key_ttl(queue), '-inf', now, 'LIMIT', 0, C.SWEEP_LIMIT)
  for _, job_id in ipairs(late) do
    local job = load_leaving(job_id)
    if job and allowed('expire', job.status) then
      leave('expire', job_id, job, 'expired')
    else
      redis.call('ZREM', key_ttl(queue), job_id)
    end
  end
end

-- Members whose job has expired; no job is touched.
local function prune(queue)
  for _, status in ipairs({'finished', 'failed', 'stopped', 'canceled', 'expired'}) do
    local home = key_home(status, queue)
    local dead = redis.call('ZCOUNT', home, '-inf', now)
    if dead > 0 then redis.call('ZREMRANGEBYRANK', home, 0, math.min(dead, 5000) - 1) end
  end
  redis.call('ZREMRANGEBYSCORE', key_workers(), '-inf', now)
end

local function head_of(key)
  return tonumber(redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2])
end

-- The next moment of a queue that this worker is to wake for, or nil where another one watches it already.
local function moment_to_watch(queue, worker)
  local due, deadline = head_of(key_home('scheduled', queue)), head_of(key_ttl(queue))
  local moment = math.min(due or math.huge, deadline or math.huge)
  if moment == math.huge then
    redis.call('HDEL', key_watch(), queue)
    return nil
  end
  local watched, holder = string.match(redis.call('HGET', key_watch(), queue) or '', '^(%d+) (.*)$')
  watched = tonumber(watched)
  if watched and holder ~= worker and watched <= moment and watched > now - 100 then return nil end
  redis.call('HSET', key_watch(), queue, string.format('%.0f', moment) .. ' ' .. worker)
  return moment
end
