-- firmly(command, name, …): a command on a key that many jobs share, and once more where it was of another type: then it
-- is not ours, and is taken away. To lose what was in it is less than to lose the outcome of a job.
local function firmly(command, name, ...)
  local answer = redis.pcall(command, name, ...)
  if type(answer) ~= 'table' or not answer.err then return answer end
  local why = tostring(answer.err)
  if not string.find(why, 'wrong kind of value', 1, true) then error(why, 0) end
  call('DEL', name)
  return call(command, name, ...)
end
