--- @include now
--- @include swap
-- Whether anybody may be recovered; to ask is a contact itself. When no worker at all was in contact for 10 s the
-- server was away: every lease may have lapsed without a worker being dead, so the living get another 10 s to renew.
local function recovery_is_open()
  local at, grace = string.match(swap(key_contact(), stamp) or '', '^(%d+) ?(%d*)$')
  if not at then return true end
  grace = tonumber(grace)
  if now - at > C.OUTAGE_MS then grace = now + C.OUTAGE_MS end
  if not grace or now >= grace then return true end
  call('SET', key_contact(), stamp .. ' ' .. string.format('%.0f', grace))
  return false
end
