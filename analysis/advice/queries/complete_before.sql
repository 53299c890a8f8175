-- The newest complete step before another that still has rows.
-- ?1 the other step
-- columns: step
SELECT s.id FROM step s JOIN step q ON q.id = coalesce(s.same_as, s.id)
WHERE s.id >= 1 AND s.id < ?1 AND s.complete = 1 AND q.thinned = 0
ORDER BY s.id DESC
LIMIT 1;
