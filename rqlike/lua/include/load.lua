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

local function get(flat, field)
  for at = 1, #flat, 2 do
    if flat[at] == field then return flat[at + 1] end
  end
  return nil
end

-- mend(job_id, flat, queue): a job says of itself in which queue it is; where that is not so, what follows would look for
-- it elsewhere.
local function mend(job_id, flat, queue)
  call('HSET', key_job(job_id), F.queue, queue)
  flat[#flat + 1], flat[#flat + 2] = F.queue, queue
end
