-- Did the run go on after an event: did it allocate again, or leave by itself and well? What
-- follows an Optimizer.step() that raised is a step too, of frees alone.
-- ?1 device (id), ?2 step, ?3 the event (ordinal)
-- columns: more than 0 if it did
SELECT (SELECT count(*) FROM allocation
        WHERE device = ?1 AND born_step = ?2 AND born > ?3)
     + (SELECT count(*) FROM step
        WHERE id > ?2
          AND (same_as IS NOT NULL OR thinned = 1 OR first_allocation IS NOT NULL))
     + (SELECT count(*) FROM run WHERE ended = 'exit' AND exit_status = 0);
