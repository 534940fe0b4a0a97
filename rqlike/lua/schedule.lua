-- schedule: a schedule is made, or the one of this key gets another timetable and template. What it has done and
-- whether it is paused stay; while the timetable is the same its next slot stays too.
-- Needs: deny-oom, as enqueue
-- KEYS: prefix
-- ARGV: now, key, revision that the caller has seen ('' none), timetable, next slot ('' there is none), queue, call, meta,
--       band, ttl_ms, failure_ttl_ms, limit ('' none), source ('' none), unique ('' none), wish, needs (as in `enqueue`)
-- Answers: the fields of the schedule
-- Refuses: CHANGED, where it is not as the caller has seen it; NOPARENT id, where its jobs are to depend on one that is
--          none; but one that they have depended on so far may be gone
--- @include now
--- @include summon
local key, timetable, next_slot, needs = ARGV[2], ARGV[4], ARGV[5], ARGV[16]
local schedule = key_schedule(key)
local got = call('HMGET', schedule, S.revision, S.timetable, S.next, S.paused, S.needs)
if (got[1] or '') ~= ARGV[3] then return redis.error_reply('CHANGED') end
if needs ~= '' then
  --- @include depend
  local before = {}
  for parent in string.gmatch(got[5] or '', '%a+ ([^\n]+)') do before[parent] = true end
  local _, _, missing = needed(needs, before)
  if missing then return redis.error_reply('NOPARENT ' .. missing) end
end
if got[2] == timetable then next_slot = got[3] or '' end
local never = got[4] or next_slot == ''
call('ZADD', key_schedules(), never and C.NEVER_MS or next_slot, key) -- first: it fails where the key is not ours
call('HSETNX', schedule, S.created, stamp)
call('HSET', schedule, S.timetable, timetable, S.revision, (tonumber(got[1]) or 0) + 1, S.next, next_slot,
  S.queue, ARGV[6], S.call, ARGV[7], S.meta, ARGV[8], S.band, ARGV[9], S.ttl, ARGV[10], S.failure_ttl, ARGV[11],
  S.limit, ARGV[12], S.source, ARGV[13], S.unique, ARGV[14], S.wish, ARGV[15],
  S.needs, needs)
call('SADD', key_queues(), ARGV[6])
if not never then summon(tonumber(next_slot)) end
return call('HGETALL', schedule)
