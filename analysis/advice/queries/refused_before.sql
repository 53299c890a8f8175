-- Allocations that were refused earlier in the same step.
-- ?1 the refused one (id of oom)
-- columns: the event before which it was refused (ordinal)
SELECT b.ordinal FROM oom a JOIN oom b
	ON b.device = a.device AND b.step = a.step AND b.id < a.id
WHERE a.id = ?1
ORDER BY b.id;
