--- @flags no-writes
-- page: ids of one home in its order, from a cursor on, without members whose job has expired. Reads only.
-- KEYS: prefix   ARGV: now, status, queue, terminal ('1' | '0'), score and id of the cursor ('' the beginning), count
-- Answers: score ('' at the end) and id of the next cursor, id…
--- @include now
--- @include seek
local found, is_last = leaf(key_home(ARGV[2], ARGV[3]), ARGV[4] == '1', ARGV[5], ARGV[6], tonumber(ARGV[7]))
local out = {'', ''}
if not is_last then out = {found[#found], found[#found - 1]} end
for at = 1, #found, 2 do out[#out + 1] = found[at] end
return out
