-- What a call that deletes or moves many has answered is kept for 5 s, so that it answers the same when it is sent again
-- and does nothing twice. `answered(nonce)`: that, or nil; `answer(nonce, …)`: keeps it, and gives it back.
local function answered(nonce)
  local kept = nonce ~= '' and redis.pcall('LRANGE', key_answer(nonce), 0, -1) or {}
  return not kept.err and kept[1] and kept or nil
end

local function answer(nonce, ...)
  if nonce ~= '' then
    call('DEL', key_answer(nonce))
    call('RPUSH', key_answer(nonce), ...)
    call('PEXPIRE', key_answer(nonce), C.GRACE_MS)
  end
  return {...}
end
