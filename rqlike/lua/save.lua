-- save: the editable parts of a job; status, counters and lease cannot be written by this.
-- KEYS: prefix
-- ARGV: now, job id, failure_ttl_ms ('' as it is), result_ttl_ms ('' as it is | 'default' the worker's), redate ('1' a
--       job that ended is kept for result_ttl_ms from now | '0'), then per blob: field, data ('' takes it away)
-- Answers: 1   Refuses: NOJOB, but not where a job is to be kept for 0 ms that is gone but for its history: that was
--          this very call, or it has gone the same way by itself
--- @include now
--- @include allowed
--- @include blob
--- @include entry
--- @include end
local job_id, failure_ttl, result_ttl, redate = ARGV[2], ARGV[3], ARGV[4], ARGV[5] == '1'
local key = key_job(job_id)
local got = call('HMGET', key, F.status, F.queue)
if not got[1] then
  local trace = redate and result_ttl == '0' and newest_entry(job_id)
  if trace and entry_field(trace, E.notice) ~= 'deleted' then return 1 end
  return redis.error_reply('NOJOB')
end
local expires_at = call('PEXPIRETIME', key)
if failure_ttl ~= '' then call('HSET', key, F.failure_ttl, failure_ttl) end
if result_ttl == 'default' then
  call('HDEL', key, F.result_ttl)
elseif result_ttl ~= '' then
  call('HSET', key, F.result_ttl, result_ttl)
end
for at = 6, #ARGV, 2 do
  local field, data = ARGV[at], ARGV[at + 1]
  local stale = {field .. '#'}
  for chunk = 0, C.CHUNKED_LIMIT / C.CHUNK - 1 do stale[#stale + 1] = field .. chunk end
  call('HDEL', key, unpack(stale))
  call('DEL', key_blob(field, job_id))
  if data ~= '' then
    local fields = {}
    put_blob(fields, field, job_id, data)
    call('HSET', key, unpack(fields))
    if #data > C.CHUNKED_LIMIT and expires_at > 0 then
      call('PEXPIREAT', key_blob(field, job_id), string.format('%.0f', expires_at))
    end
  end
end
if redate and allowed('requeue', got[1]) then
  local ttl_ms = tonumber(result_ttl)
  call('HDEL', key, F.wanted) -- it has done what it was for; what is said of a job that has ended holds
  call('ZADD', key_home(got[1], got[2]), 'XX', expiry(ttl_ms), job_id)
  if ttl_ms < 0 then
    for _, one in ipairs({key, key_results(job_id), key_blob(F.call, job_id), key_blob(F.meta, job_id),
      key_blob(F.overrides, job_id), key_live(job_id), key_log(job_id)}) do call('PERSIST', one) end
  else
    -- at 0 the job is gone with this call; its history stays readable as long as that of any job that vanishes
    local stream, at = key_results(job_id), string.format('%.0f', now + ttl_ms)
    call('PEXPIREAT', stream, string.format('%.0f', now + (ttl_ms == 0 and C.GRACE_MS or ttl_ms)))
    call('PEXPIREAT', key, at)
    for _, field in ipairs({F.call, F.meta, F.overrides}) do call('PEXPIREAT', key_blob(field, job_id), at) end
    call('PEXPIREAT', key_live(job_id), at)
    call('PEXPIREAT', key_log(job_id), at)
  end
end
return 1
