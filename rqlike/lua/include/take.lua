--- @include grant
--- @include chunked
--- @include load
-- take(queue, want, granted, worker, mint, lease, broken): claims up to `want` jobs of a queue for a worker: started,
-- token, and a lease until `lease` in one step. Adds {job_id, fields} to `granted`; answers whether the queue is empty
-- now. Jobs that turn out to be overdue or none are not counted in `want`, and there may be any number of them, so it
-- looks at 500 at most; the next sweep comes at once where a deadline is over.
-- `broken` is told of jobs that cannot be claimed for what is in their keys.

-- Its deadline was missed, and nobody has seen it until now.
local function expire_instead(job_id)
  --- @include leave
  leave('expire', job_id, load_leaving(job_id), 'expired')
end

-- Nobody can keep the leases of what was just granted: all of it goes back, free, to its place.
local function undo(home, granted, first)
  for at = #granted, first, -1 do
    local job_id, flat = granted[at][1], granted[at][2]
    local key = key_job(job_id)
    call('HDEL', key, F.token, F.worker, F.started)
    call('HSET', key, F.status, 'queued', F.attempt, flat[#flat] - 1) -- which `grant` has put last
    call('ZADD', home, tonumber(get(flat, F.place)) or 0, job_id)
    granted[at] = nil
  end
end

local function take(queue, want, granted, worker, mint, lease, broken)
  local home, started, emptied = key_home('queued', queue), {}, false
  local first, popped, index = #granted + 1, nil, 1
  local function claim_all()
    while index < #popped do
      local job_id = popped[index]
      local flat = load_job(job_id)
      local status, of, attempt, deadline
      for at = 1, #flat, 2 do
        local name = flat[at]
        if name == F.status then
          status = flat[at + 1]
        elseif name == F.queue then
          of = flat[at + 1]
        elseif name == F.attempt then
          attempt = flat[at + 1]
        elseif name == F.ttl_deadline then
          deadline = flat[at + 1]
        end
      end
      if deadline and tonumber(deadline) <= now and (not attempt or attempt == '0') then
        expire_instead(job_id)
      elseif allowed('claim', status) then
        if deadline then call('ZREM', key_ttl(queue), job_id) end
        if of ~= queue then mend(job_id, flat, queue) end
        grant(job_id, flat, attempt, worker, mint())
        started[#started + 1] = lease
        started[#started + 1] = job_id
        granted[#granted + 1] = {job_id, flat}
        want = want - 1
      elseif flat[1] and not allowed('delete', status) then
        error('its status is none of rqlike', 0)
      end
      index = index + 2
    end
  end
  local looked_at = 0
  while want > 0 and not emptied and looked_at < C.TOUCH_LIMIT do
    popped, index = call('ZPOPMIN', home, want), 1
    looked_at = looked_at + #popped / 2
    emptied = #popped < 2 * want or call('EXISTS', home) == 0
    while true do
      local fine, problem = pcall(claim_all)
      if fine then break end
      broken(queue, popped[index], problem)
      index = index + 2
    end
  end
  if #started > 0 then
    local fine, problem = pcall(chunked, 'ZADD', key_home('started', queue), started)
    if not fine then
      undo(home, granted, first)
      broken(queue, '', problem)
      return true
    end
  end
  if emptied then call('DEL', key_markers(queue)) end
  return emptied
end
