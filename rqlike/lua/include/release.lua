--- @gives release
--- @include waiting
-- release(job_id, text): a job that was started holds its permit no more, and the next one that waits for it may go. A
-- job that did not begin (`unbegun`) gives back its start too.
function release(job_id, text, unbegun)
  local limit = limit_of(text)
  if not limit then return end
  if unbegun and limit.every then
    local tat = tat_of(limit)
    if tat then call('SET', key_tat(limit.key), string.format('%.3f', tat - limit.every), 'KEEPTTL') end
  end
  if not limit.concurrency or firmly('SREM', key_holders(limit.key), job_id) == 0 then return end
  local head, unsure = live_head(limit.key, C.SWEEP_LIMIT)
  if head then put_back(limit.key, head) end
  -- whether anybody took it: nobody may listen to that queue any more, and others wait too
  if head then look_by(limit.key, now + C.RELOOK_MS) elseif unsure then look_by(limit.key, now) end
end
