-- date(job_id, queue, status, ttl_ms): everything of an ended job gets one moment of expiry; ttl_ms < 0 is for ever.
local function date(job_id, at, blobs)
  redis.call('PEXPIREAT', key_job(job_id), at)
  redis.call('PEXPIREAT', key_results(job_id), at)
  if blobs then
    for _, field in ipairs({F.call, F.meta, F.overrides}) do
      redis.call('PEXPIREAT', key_blob(field, job_id), at)
    end
  end
end

local function expiry(ttl_ms)
  if ttl_ms < 0 then return '+inf' end
  return string.format('%.0f', now + ttl_ms)
end
