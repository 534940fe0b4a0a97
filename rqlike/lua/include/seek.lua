-- A cursor is the score and the id of the member that was looked at last. Members come and go, also that one; whoever
-- is there all the while and keeps its score is met once.

-- As the server orders the ids of one score; Lua's own `<` goes by the locale.
local function precedes(one, other)
  for at = 1, math.min(#one, #other) do
    local mine, theirs = string.byte(one, at), string.byte(other, at)
    if mine ~= theirs then return mine < theirs end
  end
  return #one < #other
end

-- seek(home, score, job_id): the rank of the first member behind a cursor; the first of all where score is ''.
local function seek(home, score, job_id)
  if score == '' then return 0 end
  local own = call('ZSCORE', home, job_id)
  if own and tonumber(own) == tonumber(score) then return call('ZRANK', home, job_id) + 1 end
  local low = call('ZCOUNT', home, '-inf', '(' .. score)
  local high = low + call('ZCOUNT', home, score, score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if precedes(job_id, call('ZRANGE', home, middle, middle)[1]) then high = middle else low = middle + 1 end
  end
  return low
end

-- leaf(home, terminal, score, job_id, count): members behind a cursor, {id, score, …}, without those whose job has
-- expired; and whether they are the last.
local function leaf(home, terminal, score, job_id, count)
  local first = seek(home, score, job_id)
  if terminal then first = math.max(first, call('ZCOUNT', home, '-inf', stamp)) end
  local found = call('ZRANGE', home, first, first + count - 1, 'WITHSCORES')
  return found, first + count >= call('ZCARD', home)
end
