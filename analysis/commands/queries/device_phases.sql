-- A device's phases. Folded steps have no rows in step_phase: theirs are the pattern's, higher
-- by what the step began with more.
-- ?1 device (id), ?2 step (-1: the whole run)
-- columns: phase, most allocated (bytes), events
WITH use AS (
	SELECT coalesce(s.same_as, s.id) AS pattern, count(*) AS times,
	       max(d.start_allocated) AS start
	FROM step s JOIN step_device d ON d.step = s.id AND d.device = ?1
	WHERE ?2 IN (-1, s.id)
	GROUP BY 1)
SELECT p.phase, max(p.peak_allocated + use.start - d.start_allocated),
       sum(p.events * use.times)
FROM use
JOIN step_phase p ON p.step = use.pattern AND p.device = ?1
JOIN step_device d ON d.step = use.pattern AND d.device = ?1
GROUP BY p.phase
ORDER BY p.phase;
