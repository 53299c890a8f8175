-- The newest stack with Python in it of a step, best of one phase. In a backward no Python runs
-- on the device's thread: the newest stack is then of the line that began it. The last 100,000
-- rows are enough to look at.
-- ?1 the step, ?2 the phase
-- columns: python_stack
SELECT s.python_stack
FROM allocation a JOIN site s ON s.id = a.site
WHERE a.id > (SELECT max(id) FROM allocation) - 100000 AND a.born_step = ?1
  AND s.python_stack NOTNULL
ORDER BY (s.phase = ?2) DESC, a.id DESC
LIMIT 1;
