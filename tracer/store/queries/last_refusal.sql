-- The last refusal of memory, if an uncaught OutOfMemoryError ended the program.
-- columns: step, phase, python_stack, name of the phase
SELECT o.step, s.phase, s.python_stack, coalesce(p.name, 'other')
FROM oom o LEFT JOIN site s ON s.id = o.site LEFT JOIN phase p ON p.id = s.phase
WHERE (SELECT value FROM meta WHERE key = 'uncaught') = 'OutOfMemoryError'
ORDER BY o.id DESC
LIMIT 1;
