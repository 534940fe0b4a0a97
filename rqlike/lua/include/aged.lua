--- @include now
--- @include budget
--- @include seek
-- walk_aged(queue, status, bound, older_ms, score, job_id, most, act): goes on through a home from a cursor, 500 ids at
-- most, and acts on the jobs that ended by `bound`; of one that lives still, that was created by then. ('' is older_ms
-- ago.) Answers on how many, the bound, and the next cursor.
local function walk_aged(queue, status, bound, older_ms, score, job_id, most, act)
  local live = status == 'scheduled' or status == 'deferred'
  local field, count = F.ended, 0
  if live then field = F.created end
  if bound == '' then bound = string.format('%.0f', now - older_ms) end
  local limit, everything = tonumber(bound), tonumber(older_ms) == 0

  local function is_aged(id)
    local got = redis.pcall('HMGET', key_job(id), F.status, field, F.queue)
    if got.err then return everything end -- no hash: nobody can say how old it is
    if not allowed('delete', got[1]) then return everything and call('EXISTS', key_job(id)) == 1 end
    if got[1] ~= status or got[3] ~= queue then return false end
    local moment = tonumber(got[2])
    if not moment then return everything end
    return moment <= limit
  end

  local found, is_last = leaf(key_home(status, queue), not live, score, job_id, C.TOUCH_LIMIT)
  for at = 1, #found, 2 do
    if count >= most then return {count, bound, score, job_id} end
    if is_aged(found[at]) then
      act(found[at])
      count = count + 1
    end
    job_id, score = found[at], found[at + 1]
    if at % 40 == 1 and at > 1 and spent() and at + 1 < #found then return {count, bound, score, job_id} end
  end
  if is_last then score, job_id = '', '' end
  return {count, bound, score, job_id}
end
