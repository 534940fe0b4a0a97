--- @flags no-writes
-- failures: failed jobs of one queue and what their newest executions say of it, from a cursor on. Neither values nor
-- tracebacks are answered, of a call only how it begins. Reads only.
-- KEYS: prefix   ARGV: now, queue, score and id of the cursor ('' the beginning), count, told ('1' all | '0' no reasons)
-- Answers: {now, score ('' at the end) and id of the next cursor, {id, ended, exc_type, reason, first bytes of the call,
--          unique key as in F.unique, 1 where another job holds that | 0}…}
--- @include now
--- @include allowed
--- @include budget
--- @include entry
--- @include unique
--- @include seek
--- @include packed
local home, told = key_home('failed', ARGV[2]), ARGV[6] == '1'

-- The class and the reason of the newest execution; '' where nothing is known of it.
local function why(job_id)
  local entries = redis.pcall('XREVRANGE', key_results(job_id), '+', '-', 'COUNT', 2)
  if entries.err then return '', '' end
  for _, entry in ipairs(entries) do
    if entry_field(entry, E.type) then
      return entry_field(entry, E.exc_type) or '', entry_field(entry, E.reason) or ''
    end
  end
  return '', ''
end

local function head_of(job_id, got)
  if not got[5] then return (got[3] or '') .. (got[4] or '') end
  local head = redis.pcall('GETRANGE', key_blob(F.call, job_id), 0, 2 * C.CHUNK - 1)
  return type(head) == 'string' and head or ''
end

local function tell(job_id)
  local got = redis.pcall('HMGET', key_job(job_id), F.status, F.ended, F.call .. '0', F.call .. '1', F.call .. '#',
    F.unique, F.queue)
  if got.err or got[1] ~= 'failed' or got[7] ~= ARGV[2] then return nil end
  local holder = got[6] and holder_of(got[6])
  local one = {job_id, got[2] or '', '', '', '', got[6] or '', holder and holder ~= job_id and 1 or 0}
  if told then
    one[3], one[4] = why(job_id)
    one[5] = head_of(job_id, got)
  end
  return one
end

local found, is_last = leaf(home, true, ARGV[3], ARGV[4], math.min(tonumber(ARGV[5]), C.TOUCH_LIMIT))
local out = {now, '', ''}
for at = 1, #found, 2 do
  out[#out + 1] = tell(found[at])
  if at % 40 == 1 and at > 1 and spent() and at + 1 < #found then
    out[2], out[3] = found[at + 1], found[at]
    return packed(out)
  end
end
if not is_last then out[2], out[3] = found[#found], found[#found - 1] end
return packed(out)
