-- The phases of a step that has rows of its own, in order.
-- ?1 step
-- columns: phase, start (ns since the run began)
SELECT phase, start_ns FROM span WHERE step = ?1 ORDER BY number;
