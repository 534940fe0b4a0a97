--- @flags no-writes
-- standings: what who waits for many jobs needs to know of each, without any value. Reads only.
-- KEYS: prefix   ARGV: now, '1' where it matters how a cycle ended, {job id, cycle of the handle}…
-- Answers: now, then per job {status, cycle, created, ttl deadline where it can still be missed,
--          id of the newest entry of one that has not ended, type of the execution that ended the handle's cycle where
--          the job is gone or in another one}. A status of '' where there is no job, or something that is none; an id of
--          '' where what is to be the history is none.
--- @include now
--- @include packed
--- @include entry
--- @include allowed
local how, out = ARGV[2] == '1', {now}

-- '0-0' where there is no entry yet, '' where there can be none.
local function newest_id(job_id)
  local entries = redis.pcall('XREVRANGE', key_results(job_id), '+', '-', 'COUNT', 1)
  if entries.err then return '' end
  return entries[1] and entries[1][1] or '0-0'
end

-- One entry at a time: a value may have a megabyte, and the newest is nearly always the one.
local function ending(job_id, cycle)
  local before = '+'
  for _ = 0, C.HISTORY_LENGTH do
    local entries = redis.pcall('XREVRANGE', key_results(job_id), before, '-', 'COUNT', 1)
    local entry = entries.err == nil and entries[1]
    local of = entry and (tonumber(entry_field(entry, E.cycle)) or 1)
    if not of or of < cycle then return '' end
    if of == cycle then return entry_field(entry, E.type) or '' end
    before = '(' .. entry[1]
  end
  return ''
end

for at = 3, #ARGV, 2 do
  local job_id, cycle = ARGV[at], tonumber(ARGV[at + 1])
  local got = redis.pcall('HMGET', key_job(job_id), F.status, F.cycle, F.created, F.ttl_deadline)
  local status = not got.err and got[1] or nil
  local entry_id, ended = '', ''
  if status and not allowed('requeue', status) then entry_id = newest_id(job_id) end
  if how and (not status or (tonumber(got[2]) or 1) ~= cycle) then ended = ending(job_id, cycle) end
  out[#out + 1] = status
    and {status, got[2] or 1, got[3] or '', allowed('expire', status) and got[4] or '', entry_id, ended}
    or {'', 0, '', '', '', ended}
end
return packed(out)
