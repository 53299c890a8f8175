-- One step, and the step whose rows speak for it (schema.sql, folding): its pattern.
-- ?1 step
-- columns: pattern, start, end (ns), events, micro_steps, the pattern's start, end (ns), first
-- and last id of the pattern's rows (NULL: none), complete, thinned, the step
SELECT q.id, s.start_ns, s.end_ns, s.events, s.micro_steps, q.start_ns, q.end_ns,
       q.first_allocation, q.last_allocation, s.complete, q.thinned, s.id
FROM step s JOIN step q ON q.id = coalesce(s.same_as, s.id)
WHERE s.id = ?1;
