--- @include now
-- Whether anybody may be recovered; to ask is a contact itself. When no worker at all was in contact for 10 s the
-- server was away: every lease may have lapsed without a worker being dead, so the living get another 10 s to renew.
local function recovery_is_open()
  local got = redis.call('HMGET', key_contact(), 'at', 'grace')
  local last, grace = tonumber(got[1]), tonumber(got[2]) or 0
  if last and now - last > C.OUTAGE_MS then grace = now + C.OUTAGE_MS end
  redis.call('HSET', key_contact(), 'at', now, 'grace', grace)
  return now >= grace
end
