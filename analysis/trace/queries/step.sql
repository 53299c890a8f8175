-- One step, and the step whose rows speak for it (schema.sql, folding): its pattern.
-- ?1 step
-- columns: pattern, start, end (ns), events, micro_steps, the pattern's start, end (ns), first
-- and last id of the pattern's rows (NULL: none), complete, thinned, the step
SELECT pattern, start_ns, end_ns, events, micro_steps, pattern_start_ns, pattern_end_ns,
       first_allocation, last_allocation, complete, thinned, id
FROM patterned
WHERE id = ?1;
