--- @include limit
--- @include ring
-- The jobs that a limit key holds back, and how they come back to their places.

-- Ids that were looked at in this call.
local looks = 0

-- live_head(key, budget): the first job that waits for a limit key: {job_id, queue, place, limit}. Ids of jobs that wait
-- no more are dropped; nil where none is left, and with it true where `budget` looks have found none.
local function live_head(key, budget)
  local waiting = key_waiting(key)
  for _ = 1, budget do
    looks = looks + 1
    local head = firmly('ZRANGE', waiting, 0, 0, 'WITHSCORES')
    local job_id = head[1]
    if not job_id then return nil end
    local got = redis.pcall('HMGET', key_job(job_id), F.status, F.queue, F.place, F.limit)
    local limit = not got.err and got[1] == 'queued' and got[2] and got[4] and limit_of(got[4])
    if limit and limit.key == key then
      local held = redis.pcall('ZSCORE', key_home('queued', got[2]), job_id)
      if type(held) == 'string' and tonumber(held) >= C.HELD_PLACE then
        local place = tonumber(got[3])
        if not (place and place >= 0 and place < C.HELD_PLACE) then place = tonumber(head[2]) end
        return {job_id, got[2], place, limit}
      end
    end
    call('ZREM', waiting, job_id)
  end
  return nil, true
end

-- A job that is held back stands at its real place again, and a worker is woken for it.
local function put_back(key, head)
  call('ZREM', key_waiting(key), head[1])
  call('ZADD', key_home('queued', head[2]), string.format('%.0f', head[3]), head[1])
  ring(head[2], now, 1)
end
