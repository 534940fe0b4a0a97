--- @flags no-writes
-- group: where a group stands. Reads only.
-- KEYS: prefix   ARGV: now, id, rank of the first member to name, number of them (≤ 500), '1' only those that
--       have not ended
-- Answers: {created or '', number of members, number of those that have not ended, times it was complete, {id…}}
local got = call('HMGET', key_group(ARGV[2]), G.created, G.completed)
local first, ids = tonumber(ARGV[3]), {}
if tonumber(ARGV[4]) > 0 then ids = call('ZRANGE', key_members(ARGV[2]), first, first + ARGV[4] - 1) end
if ARGV[5] == '1' and #ids > 0 then
  local kept = {}
  for at, pending in ipairs(call('SMISMEMBER', key_pending(ARGV[2]), unpack(ids))) do
    if pending == 1 then kept[#kept + 1] = ids[at] end
  end
  ids = kept
end
return {got[1] or '', call('ZCARD', key_members(ARGV[2])), call('SCARD', key_pending(ARGV[2])), got[2] or '0', ids}
