--- @include unpop
-- Of what was popped, whose last job is held back, only what is not held back is left; nothing else is in the queue.
local function leave_held(queue, home, popped, state)
  local last = #popped
  local at = last - 1
  while at > 2 and tonumber(popped[at - 1]) >= C.HELD_PLACE do at = at - 2 end
  unpop(home, popped, at)
  if not state.gate then
    --- @include gate
    state.gate = {admitted = admitted, take_permit = take_permit, set_free = set_free}
  end
  state.returned = state.gate.set_free(queue, popped, at) or state.returned
  for index = last, at, -1 do popped[index] = nil end
end
