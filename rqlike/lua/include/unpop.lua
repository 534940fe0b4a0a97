--- @include chunked
-- Puts what was popped from a queue back to its places, from `at` on.
local function unpop(home, popped, at)
  local members = {}
  for index = at, #popped, 2 do
    members[#members + 1] = popped[index + 1]
    members[#members + 1] = popped[index]
  end
  chunked('ZADD', home, members)
end
