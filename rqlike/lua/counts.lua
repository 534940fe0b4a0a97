--- @flags no-writes
-- counts: how many jobs are in each status, per queue: members that have not expired. Reads only, O(log n).
-- KEYS: prefix   ARGV: now, number of live statuses, statuses…, -, queue…
-- Answers: per queue {count per status, in the order given}
--- @include now
local statuses, live, at = {}, tonumber(ARGV[2]), 3
while ARGV[at] ~= '-' do
  statuses[#statuses + 1] = ARGV[at]
  at = at + 1
end
local out = {}
for index = at + 1, #ARGV do
  local counts = {}
  for number, status in ipairs(statuses) do
    local home = key_home(status, ARGV[index])
    if number <= live then
      counts[number] = call('ZCARD', home)
    else
      counts[number] = call('ZCOUNT', home, '(' .. string.format('%.0f', now), '+inf')
    end
  end
  out[#out + 1] = counts
end
return out
