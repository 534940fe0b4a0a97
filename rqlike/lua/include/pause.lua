--- @include now
-- read_pause(record): the moment at which a pause ends (math.huge where it has none), since when it is, its nonce and its
-- reason; nil where it is over, and where the record is none of rqlike's. A record is "since until nonce reason", with -
-- in the place of an end that it has not.
local function read_pause(record)
  local since, till, nonce, reason = string.match(record or '', '^(%d+) (%S+) (%S+) (.*)$')
  till = till == '-' and math.huge or tonumber(till)
  if not till or till <= now then return nil end
  return till, since, nonce, reason
end
