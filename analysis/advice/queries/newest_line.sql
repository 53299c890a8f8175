-- The newest stack with Python in it that a step has up to an event, best of one phase.
-- ?1 and ?2 first and last id of its pattern's rows, ?3 its pattern, ?4 the event (ordinal),
-- ?5 the phase
-- columns: python_stack
SELECT s.python_stack
FROM allocation a JOIN site s ON s.id = a.site
WHERE a.id BETWEEN ?1 AND ?2 AND a.born_step = ?3 AND a.born <= ?4
  AND s.python_stack IS NOT NULL
ORDER BY (s.phase = ?5) DESC, a.born DESC
LIMIT 1;
