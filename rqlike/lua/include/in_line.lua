--- @gives in_line
--- @include depend
--- @include move
--- @include leave
-- in_line(job_id, queue, needs, serial): what makes a new job of a schedule wait for those it depends on, as they stand now:
-- a function of its fields, or nil where it need not wait. One that is gone is not waited for: it was there when the
-- schedule was made, and what ends well is forgotten first.
function in_line(job_id, queue, needs, serial)
  local open, doomed = needed(needs, nil)
  if not doomed and #open == 0 then return nil end
  return function(fields)
    local size = #fields
    fields[size + 1], fields[size + 2], fields[size + 3], fields[size + 4] = F.needs, #open, F.enrolled, serial
    enter('fire', job_id, queue, nil, 'deferred', stamp, fields)
    depend(job_id, serial, open)
    if doomed then leave('cancel', job_id, load_leaving(job_id), 'canceled', '', 'dependency') end
    return false
  end
end
