-- The whole of a job as one flat list of fields, a large blob under the name of its first chunk.
local function load_job(job_id)
  local flat = call('HGETALL', key_job(job_id))
  for at = 1, #flat, 2 do
    local name = flat[at]
    if name == F.call .. '#' or name == F.meta .. '#' or name == F.overrides .. '#' then
      local field = string.sub(name, 1, -2)
      flat[at], flat[at + 1] = field .. '0', call('GET', key_blob(field, job_id)) or ''
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
