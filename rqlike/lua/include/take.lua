--- @include grant
--- @include chunked
--- @include load
-- take(queue, want, granted, worker, mint, lease): claims up to `want` jobs of a queue for a worker: started, token, and
-- a lease until `lease` in one step. Adds {job_id, fields} to `granted`; answers whether the queue is empty now.

-- Its deadline was missed, and nobody has seen it until now.
local function expire_instead(job_id)
  --- @include leave
  leave('expire', job_id, load_leaving(job_id), 'expired')
end

local function take(queue, want, granted, worker, mint, lease)
  local home, started, emptied = key_home('queued', queue), {}, false
  while want > 0 and not emptied do
    local popped = call('ZPOPMIN', home, want)
    emptied = #popped < 2 * want or call('EXISTS', home) == 0
    for index = 1, #popped, 2 do
      local job_id = popped[index]
      local flat = load_job(job_id)
      local status, attempt, deadline
      for at = 1, #flat, 2 do
        local name = flat[at]
        if name == F.status then
          status = flat[at + 1]
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
        grant(job_id, flat, attempt, worker, mint())
        started[#started + 1] = lease
        started[#started + 1] = job_id
        granted[#granted + 1] = {job_id, flat}
        want = want - 1
      end
    end
  end
  if #started > 0 then chunked('ZADD', key_home('started', queue), started) end
  if emptied then call('DEL', key_markers(queue)) end
  return emptied
end
