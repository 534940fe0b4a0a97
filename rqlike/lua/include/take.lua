--- @include grant
--- @include chunked
--- @include load
--- @include happened
-- take(queue, want, granted, worker, mint, lease, broken, state): claims up to `want` jobs of a queue for a worker:
-- started, token, and a lease until `lease` in one step. Adds {job_id, fields, attempt, token} to `granted`; answers whether the queue is
-- empty now, and whether it did not see all that waits. Jobs that turn out to be overdue or none are not counted in
-- `want`, and there may be any number of them, so it looks at 500 at most; the next sweep comes at once where a deadline
-- is over.
-- `broken` is told of jobs that cannot be claimed for what is in their keys. `state` is that of `gate`, for all queues of
-- a call: jobs that a limit holds back go to the end of the queue, and where only such are left it counts as empty.

local function take(queue, want, granted, worker, mint, lease, broken, state)
  local home, started, cycles, emptied, full = key_home('queued', queue), {}, {}, false, false
  local first, popped, index, others_left = #granted + 1, nil, 1, false
  local function claim_all()
    while index < #popped do
      local job_id = popped[index]
      local flat = load_job(job_id)
      local status, of, attempt, deadline, limited, notice
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
        elseif name == F.limit then
          limited = flat[at + 1]
        elseif name == F.notice then
          notice = flat[at + 1]
        elseif name == F.cycle then
          cycles[job_id] = flat[at + 1]
        end
      end
      if deadline and tonumber(deadline) <= now and (not attempt or attempt == '0') then
        --- @include leave
        leave('expire', job_id, load_leaving(job_id), 'expired') -- its deadline was missed, and nobody has seen it until now
        others_left = true
      elseif allowed('claim', status) then
        if of ~= queue then
          --- @include mend
          mend(job_id, flat, queue)
        end
        local limit = nil
        if limited then
          if not state.gate then
            --- @include gate
            state.gate = {admitted = admitted, take_permit = take_permit, set_free = set_free}
          end
          limit = state.gate.admitted(state, queue, job_id, limited, tonumber(popped[index + 1]))
          if limit == false then
            --- @include unpop
            unpop(home, popped, index)
            full = true
            return
          end
        end
        if limit or not limited then
          if deadline then call('ZREM', key_ttl(queue), job_id) end
          if notice then -- its waiters have it by now, and it takes the place of an execution
            call('XDEL', key_results(job_id), notice)
            call('HDEL', key_job(job_id), F.notice)
          end
          local token = mint()
          granted[#granted + 1] = {job_id, flat, grant(job_id, attempt, worker, token), token}
          started[#started + 1] = lease
          started[#started + 1] = job_id
          want = want - 1
          if limit then state.gate.take_permit(state, job_id, limit) end
        end
      elseif not flat[1] then -- something else has taken it away, and told nobody who waits for it
        --- @include put_off
        put_off(job_id, 'gone')
        others_left = true
      elseif not allowed('delete', status) then
        error('its status is none of rqlike', 0)
      end
      index = index + 2
    end
  end
  local looked_at = 0
  while want > 0 and not emptied and not full and looked_at < C.TOUCH_LIMIT do
    popped, index = call('ZPOPMIN', home, want), 1
    looked_at = looked_at + #popped / 2
    emptied = #popped < 2 * want or call('EXISTS', home) == 0
    if #popped > 0 and tonumber(popped[#popped]) >= C.HELD_PLACE then
      --- @include held
      leave_held(queue, home, popped, state)
      emptied = true
    end
    while true do
      local fine, problem = pcall(claim_all)
      if fine then break end
      broken(queue, popped[index], problem)
      index, others_left = index + 2, true
    end
    if full or state.returned then emptied, state.returned = false, false end
  end
  if #started > 0 then
    local fine, problem = pcall(chunked, 'ZADD', key_home('started', queue), started)
    if not fine then
      --- @include take_back
      take_back(home, granted, first)
      broken(queue, '', problem)
      return true
    end
    for at = first, #granted do
      local job_id = granted[at][1]
      happened('claim', queue, job_id, 'started', cycles[job_id], granted[at][3], nil, worker)
    end
  end
  -- with the last job of a group that left otherwise, its callback may have come
  if emptied and others_left then emptied = call('EXISTS', home) == 0 end
  if emptied then call('DEL', key_markers(queue)) end
  return emptied, want > 0 and not emptied and not full
end
