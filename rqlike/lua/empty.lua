--- @flags allow-oom
-- empty: deletes up to 500 queued jobs of one queue, from its head.
-- KEYS: prefix   ARGV: now, queue, limit
-- Answers: {deleted, left}
--- @include now
--- @include allowed
--- @include entry
--- @include erase
local queue, limit = ARGV[2], math.min(tonumber(ARGV[3]), C.TOUCH_LIMIT)
local home = key_home('queued', queue)
local deleted = 0
emptied[queue] = true -- also where nothing is left but ids without a job
for _, job_id in ipairs(call('ZRANGE', home, 0, limit - 1)) do
  local got = call('HMGET', key_job(job_id), unpack(ERASE_FIELDS))
  if got[1] then
    erase(job_id, got, '')
    deleted = deleted + 1
  else
    call('ZREM', home, job_id)
  end
end
erased()
return {deleted, call('ZCARD', home)}
