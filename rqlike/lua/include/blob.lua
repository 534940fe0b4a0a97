-- A blob of up to 512 bytes lies in 64-byte fields of its job's hash, a larger one in a string of its own.
local function put_blob(fields, field, job_id, data)
  if #data > C.CHUNKED_LIMIT then
    call('SET', key_blob(field, job_id), data)
    fields[#fields + 1] = field .. '#'
    fields[#fields + 1] = #data
    fields[#fields + 1] = F.extra
    fields[#fields + 1] = '1'
    return
  end
  local chunk = 0
  for first = 1, #data, C.CHUNK do
    fields[#fields + 1] = field .. chunk
    fields[#fields + 1] = string.sub(data, first, first + C.CHUNK - 1)
    chunk = chunk + 1
  end
end
