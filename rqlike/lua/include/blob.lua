-- A blob of up to 512 bytes lies in 64-byte fields of its job's hash, a larger one in a string of its own.
local function put_blob(fields, field, job_id, data)
  if #data > C.CHUNKED_LIMIT then
    redis.call('SET', key_blob(field, job_id), data)
    fields[#fields + 1] = field .. '#'
    fields[#fields + 1] = #data
    return
  end
  local chunk = 0
  for first = 1, #data, C.CHUNK do
    fields[#fields + 1] = field .. chunk
    fields[#fields + 1] = string.sub(data, first, first + C.CHUNK - 1)
    chunk = chunk + 1
  end
end

local function drop_blobs(job_id)
  redis.call('DEL', key_blob(F.call, job_id), key_blob(F.meta, job_id), key_blob(F.overrides, job_id))
end

-- The whole of a job as one flat list of fields, a large blob under the name of its first chunk.
local function load_job(job_id)
  local flat = redis.call('HGETALL', key_job(job_id))
  for at = 1, #flat, 2 do
    if string.sub(flat[at], -1) == '#' then
      local field = string.sub(flat[at], 1, -2)
      flat[at], flat[at + 1] = field .. '0', redis.call('GET', key_blob(field, job_id)) or ''
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

-- The newest value, where a list of fields was lengthened by what a verb wrote.
local function get_last(flat, field)
  for at = #flat - 1, 1, -2 do
    if flat[at] == field then return flat[at + 1] end
  end
  return nil
end
