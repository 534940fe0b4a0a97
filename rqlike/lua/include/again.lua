--- @include load
--- @include get
-- granted_before(queues, lease, base): what a call gave that is made once more: {job_id, fields}… claimed and
-- {job_id, fields, lapsed token}… recovered, in the order in which their tokens were minted.
local function granted_before(queues, lease, base)
  local found = {}
  for _, queue in ipairs(queues) do
    for _, job_id in ipairs(call('ZRANGEBYSCORE', key_home('started', queue), lease, lease)) do
      local token = redis.pcall('HGET', key_job(job_id), F.token) or ''
      if type(token) == 'string' and string.sub(token, 1, #base) == base then
        found[#found + 1] = {tonumber(string.sub(token, #base + 1)), job_id}
      end
    end
  end
  table.sort(found, function(one, other) return one[1] < other[1] end)
  local granted, lapsed = {}, {}
  for _, one in ipairs(found) do
    local flat = load_job(one[2])
    local of = get(flat, F.lapsed)
    if of then
      lapsed[#lapsed + 1] = {one[2], flat, of}
    else
      granted[#granted + 1] = {one[2], flat}
    end
  end
  return granted, lapsed
end
