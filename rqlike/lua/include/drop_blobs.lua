-- What lies in strings of its own.
local function drop_blobs(job_id)
  call('DEL', key_blob(F.call, job_id), key_blob(F.meta, job_id), key_blob(F.overrides, job_id))
end
