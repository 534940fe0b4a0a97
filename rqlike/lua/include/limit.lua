--- @include now
--- @include firmly
-- What a job's field F.limit says, and what the keys of a limit say. Where such a key is of another type it is not ours,
-- and is taken away: permits in use are told anew by every claim and end.

-- The limit of a job: its key, concurrency (nil without one), ms between two starts (nil without a rate), burst; nil
-- where the text is none of rqlike's.
local function limit_of(text)
  if #text > 300 then return nil end
  local concurrency, number, per_ms, burst, key = string.match(text, '^(%d+) (%d+) (%d+) (%d+) (.+)$')
  if not key then return nil end
  concurrency, number, per_ms, burst = tonumber(concurrency), tonumber(number), tonumber(per_ms), tonumber(burst)
  if math.max(concurrency, number, per_ms / 1000, burst) > 1e9 or (concurrency == 0 and number == 0) then return nil end
  if number > 0 and (per_ms < 1 or burst < 1) then return nil end
  return {key = key, concurrency = concurrency > 0 and concurrency or nil, every = number > 0 and per_ms / number or nil,
    burst = burst}
end

-- Jobs that hold a permit.
local function in_use(limit)
  return firmly('SCARD', key_holders(limit.key))
end

-- The theoretical arrival time; nil where there is none, or one that no limit comes to.
local function tat_of(limit)
  local tat = tonumber(firmly('GET', key_tat(limit.key)) or nil)
  return tat and tat > 0 and tat < now + 2 * C.LIMIT_SPAN_MS and tat or nil
end

-- Somebody is to look at the limit no later than at `moment`, and let waiting jobs go.
local function look_by(limit_key, moment)
  firmly('ZADD', key_limits(), 'LT', string.format('%.0f', moment), limit_key)
end
