--- @flags no-writes
-- list: ids and scores of one home in its order, without members whose job has expired. Reads only.
-- KEYS: prefix   ARGV: now, status, queue, terminal ('1' | '0'), first, last (-1 the end), descending ('1' | '0')
-- Answers: {id, score, …}
--- @include now
local home = key_home(ARGV[2], ARGV[3])
local dead = 0
if ARGV[4] == '1' then dead = call('ZCOUNT', home, '-inf', now) end
local first, last = tonumber(ARGV[5]), tonumber(ARGV[6])
local living = call('ZCARD', home) - dead
if first < 0 then first = math.max(living + first, 0) end
if last < 0 then last = living + last else last = math.min(last, living - 1) end
if last < first then return {} end
if ARGV[7] == '1' then return call('ZREVRANGE', home, first, last, 'WITHSCORES') end
return call('ZRANGE', home, dead + first, dead + last, 'WITHSCORES')
