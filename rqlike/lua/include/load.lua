-- The whole of a job as one flat list of fields, a large blob under the name of its first chunk.
local function load_job(job_id)
  local flat = call('HGETALL', key_job(job_id))
  for at = 1, #flat, 2 do
    local name = flat[at]
    if name == F.call .. '#' or name == F.meta .. '#' or name == F.overrides .. '#' then
      local field = string.sub(name, 1, -2)
      local data = redis.pcall('GETRANGE', key_blob(field, job_id), 0, C.BLOB_LIMIT)
      flat[at], flat[at + 1] = field .. '0', type(data) == 'string' and data or ''
    end
  end
  return flat
end
