--- @flags no-writes
-- workers: the records of the living workers. Reads only.
-- KEYS: prefix   ARGV: now
-- Answers: {name, {fields}, …}
--- @include now
local out = {}
for _, name in ipairs(call('ZRANGEBYSCORE', key_workers(), '(' .. string.format('%.0f', now), '+inf')) do
  local fields = redis.pcall('HGETALL', key_worker(name))
  if not fields.err and #fields > 0 then
    out[#out + 1] = name
    out[#out + 1] = fields
  end
end
return out
