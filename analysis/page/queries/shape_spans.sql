-- The phases of a step that has rows of its own, in order.
-- ?1 step
-- columns: phase, start (ns), first event
SELECT phase, start_ns, first FROM span WHERE step = ?1 ORDER BY number;
