-- The parameters that were there at an instant. Those whose block had been freed by then,
-- after they were looked at, are left out. A name with a blank is something that a parameter
-- carries along. Of a parameter that several devices share, whose name was looked at while it was
-- gathered too, the smallest is this device's.
-- ?1 step, ?2 ordinal
-- columns: name, shape ('[768, 3072]'), dtype, bytes, trainable (NULL: not said)
WITH gone AS MATERIALIZED (
	SELECT d.name AS device, a.address, a.bytes, a.born_step, a.born, a.died_step, a.died
	FROM crossing a JOIN device d ON d.id = a.device
	WHERE a.bucket = 0 /* bucket parameter */ AND (a.died_step, a.died) <= (?1, ?2)),
shared AS MATERIALIZED (
	SELECT device, name, min(bytes) AS least FROM tensor
	WHERE kind = 'parameter' AND bytes > 0 AND (SELECT world_size FROM run) > 1
	GROUP BY device, name)
SELECT name, shape, dtype, max(bytes), max(trainable)
FROM tensor t
WHERE kind = 'parameter' AND bytes > 0 AND instr(name, ' ') = 0
  AND NOT EXISTS (SELECT 1 FROM shared s
                  WHERE s.device = t.device AND s.name = t.name AND s.least < t.bytes)
  AND NOT EXISTS (
	SELECT 1 FROM gone g
	WHERE g.device = t.device
	  AND t.address >= g.address AND t.address < g.address + g.bytes
	  AND (t.step, t.ordinal) > (g.born_step, g.born)
	  AND (t.step, t.ordinal) <= (g.died_step, g.died))
GROUP BY device, coalesce(address, -id)
ORDER BY min(id);
