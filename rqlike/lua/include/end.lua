--- @include now
-- date(job_id, at, blobs, told): everything of an ended job gets one moment of expiry.
local function date(job_id, at, blobs, told)
  call('PEXPIREAT', key_job(job_id), at)
  call('PEXPIREAT', key_results(job_id), at)
  if blobs then
    call('PEXPIREAT', key_blob(F.call, job_id), at)
    call('PEXPIREAT', key_blob(F.meta, job_id), at)
    call('PEXPIREAT', key_blob(F.overrides, job_id), at)
  end
  if told then
    --- @include live
    date_live(job_id, at)
  end
end

-- The score of an ended job and the text of its expiry; ttl_ms < 0 is for ever. What is no number, or one that no clock
-- reaches, was not written by rqlike, and is a year.
local function expiry(ttl_ms)
  if not (ttl_ms and ttl_ms < 1e14) then ttl_ms = C.FAILURE_TTL_MS end
  if ttl_ms < 0 then return '+inf' end
  return string.format('%.0f', now + ttl_ms)
end
