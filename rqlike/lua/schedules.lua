--- @flags no-writes
-- schedules: some schedules as they are, in no order, each at least once over all calls. Reads only.
-- KEYS: prefix   ARGV: now, cursor ('0' to begin with)
-- Answers: cursor of the next call ('0' where this was the last), {key, {fields}, …}
local found = call('ZSCAN', key_schedules(), ARGV[2], 'COUNT', 250)
local out = {}
for at = 1, #found[2], 2 do
  local fields = redis.pcall('HGETALL', key_schedule(found[2][at]))
  if not fields.err and #fields > 0 then
    out[#out + 1] = found[2][at]
    out[#out + 1] = fields
  end
end
return {found[1], out}
