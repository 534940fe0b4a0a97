-- save: the editable parts of a job; status, counters and lease cannot be written by this.
-- KEYS: prefix   ARGV: now, job id, failure_ttl_ms ('' as it is), then per blob: field, data ('' takes it away)
-- Answers: 1   Refuses: NOJOB
--- @include blob
local job_id = ARGV[2]
local key = key_job(job_id)
if redis.call('EXISTS', key) == 0 then return redis.error_reply('NOJOB') end
local expires_at = redis.call('PEXPIRETIME', key)
if ARGV[3] ~= '' then redis.call('HSET', key, F.failure_ttl, ARGV[3]) end
for at = 4, #ARGV, 2 do
  local field, data = ARGV[at], ARGV[at + 1]
  local stale = {field .. '#'}
  for chunk = 0, C.CHUNKED_LIMIT / C.CHUNK - 1 do stale[#stale + 1] = field .. chunk end
  redis.call('HDEL', key, unpack(stale))
  redis.call('DEL', key_blob(field, job_id))
  if data ~= '' then
    local fields = {}
    put_blob(fields, field, job_id, data)
    redis.call('HSET', key, unpack(fields))
    if #data > C.CHUNKED_LIMIT and expires_at > 0 then
      redis.call('PEXPIREAT', key_blob(field, job_id), string.format('%.0f', expires_at))
    end
  end
end
return 1
