--- @include unique
-- What the items of one call have to do with each other.

local mine = {} -- {id = true}: written by this call

-- What stands in the way of one item, which does not replace it, is not replaced by an item after it: the handle would be of
-- a job that this very call cancels, and sent again the call would find the way free.
local function keep_for(kept, word, meant)
  if word == 'held' or (word == 'duplicate' and not mine[meant]) then kept[meant] = true end
end

-- Who has an id or a key by this very call, sent before: an item after it was told of that one, whatever it has come to
-- since.
local takers, sent_again = {}, false
local function note_taker(job_id, unique)
  sent_again = true
  takers['id ' .. job_id] = job_id
  local _, key = unique_of(unique)
  if key then takers['key ' .. key] = job_id end
end
local function taker_of(job_id, unique)
  if not sent_again then return nil end
  local _, key = unique_of(unique)
  return takers['id ' .. job_id] or key and takers['key ' .. key]
end
