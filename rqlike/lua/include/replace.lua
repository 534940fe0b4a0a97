--- @include leave
-- load_waiting(job_id): what `leave` is to know of a job that a new one may take the place of; nil where it does not wait,
-- or where something else has written into its keys: `leave` would fail half-way, and the job would be nowhere.
local function load_waiting(job_id)
  local fine, job = pcall(load_leaving, job_id)
  if not fine or not job or not job.queue or job.status == 'started' or not allowed('cancel', job.status) then return nil end
  return pcall(newest_entry, job_id) and job or nil
end
