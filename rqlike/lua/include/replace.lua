--- @gives load_waiting
--- @include leave
--- @include entry
--- @include unique
-- load_waiting(job_id, unique): what `leave` is to know of a job that a new one may take the place of; nil where it does
-- not wait, or where something else has written into its keys: `leave` would fail half-way, and the job would be nowhere.
-- unique: that of the new one, where the other stands in the way by its key; it may be a later cycle, which has none.
function load_waiting(job_id, unique)
  local fine, job = pcall(load_leaving, job_id)
  if not fine or not job or not job.queue or job.status == 'started' or not allowed('cancel', job.status) then return nil end
  if unique then
    local _, key = unique_of(unique)
    local _, own = unique_of(job.unique or '')
    if own ~= key then return nil end
  end
  return pcall(newest_entry, job_id) and job or nil
end
