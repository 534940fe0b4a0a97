--- @include get
-- take_back(home, granted, first): nobody can keep the leases of what was just granted: all of it goes back, free, to its place.
local function take_back(home, granted, first)
  for at = #granted, first, -1 do
    local job_id, flat = granted[at][1], granted[at][2]
    local key = key_job(job_id)
    call('HDEL', key, F.token, F.worker, F.started)
    call('HSET', key, F.status, 'queued', F.attempt, granted[at][3] - 1)
    call('ZADD', home, tonumber(get(flat, F.place)) or 0, job_id)
    if get(flat, F.limit) then
      --- @include release
      release(job_id, get(flat, F.limit), true)
    end
    granted[at] = nil
  end
end
