--- @flags no-writes
-- follow: what a job has told, and what has become of it, since its watcher looked last; all of one moment. Reads only.
-- KEYS: prefix   ARGV: now, job id, its queue, the ids of the last progress, line, result and event that were seen, how the
--          job stood when all its events had been seen ('' where they never were), number of entries to look through
-- Answers: {now, status, cycle, ttl deadline where it can still be missed, created}, how it stands,
--          {{progress…}, {lines…}, {results…}},
--          {id of the oldest event that is kept, '' where there is none, id of the last one that was looked at, '' where
--          there is nothing to read, 1 where it is not the newest one to look at, {entries with its own events…}}
-- Its events stand among those of all jobs of the queue. Where it stands as it did, those it has not looked through are
-- passed over; the first time, those that are younger than the last thing known to have happened to it.
--- @include now
--- @include packed
--- @include allowed
local job_id, stream, known, most = ARGV[2], key_events(ARGV[3]), ARGV[8], tonumber(ARGV[9])
local got = call('HMGET', key_job(job_id), F.status, F.cycle, F.ttl_deadline, F.created, F.attempt, F.token, F.enqueued,
  F.started, F.ended)
local stands = table.concat({got[1] or '', got[2] or '', got[4] or '', got[5] or '', got[6] or ''}, ' ')
local told = {call('XRANGE', key_live(job_id), '(' .. ARGV[4], '+'), call('XRANGE', key_log(job_id), '(' .. ARGV[5], '+'),
  call('XRANGE', key_results(job_id), '(' .. ARGV[6], '+')}

local function moment_of(id)
  return tonumber(string.match(id, '^%d+'))
end

local function last_known()
  local results = told[3]
  local last = moment_of(#results > 0 and results[#results][1] or ARGV[6])
  for _, at in ipairs({4, 7, 8, 9}) do last = math.max(last, tonumber(got[at] or nil) or 0) end
  return last
end

local function events()
  local oldest = redis.pcall('XRANGE', stream, '-', '+', 'COUNT', 1)
  if oldest.err then return {'', '', 0, {}} end -- of another type, so not ours
  if not oldest[1] then return {'', ARGV[7], 0, {}} end
  local page, own, tail = call('XRANGE', stream, '(' .. ARGV[7], '+', 'COUNT', most), {}, '\n' .. job_id
  for _, entry in ipairs(page) do
    for at = 2, #entry[2], 2 do
      if string.sub(entry[2][at], -#tail) == tail then
        own[#own + 1] = entry
        break
      end
    end
  end
  local last, more = #page > 0 and page[#page][1] or ARGV[7], 0
  if #page == most then
    if known == stands or (known == '' and moment_of(last) > last_known()) then
      last = call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1][1]
    else
      more = 1
    end
  end
  return {oldest[1][1], last, more, own}
end

return packed({{now, got[1] or '', got[1] and (got[2] or '1') or '', (allowed('expire', got[1]) and got[3]) or '',
  got[4] or ''}, stands, told, events()})
