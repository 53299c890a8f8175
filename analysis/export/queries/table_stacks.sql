-- Stacks, a row for each frame, the innermost with depth 0.
-- ?1 device and ?2 step: not asked
-- columns: as named
WITH RECURSIVE used(stack) AS (
	SELECT python_stack FROM site WHERE python_stack NOT NULL
	UNION SELECT native_stack FROM site WHERE native_stack NOT NULL),
walk(stack, depth, parent, frame) AS (
	SELECT u.stack, 0, s.parent, s.frame FROM used u JOIN stack s ON s.id = u.stack
	UNION ALL
	SELECT w.stack, w.depth + 1, s.parent, s.frame
	FROM walk w JOIN stack s ON s.id = w.parent WHERE w.depth < 1024)
SELECT w.stack, w.depth, f.kind, f.function, f.file, f.line
FROM walk w JOIN frame f ON f.id = w.frame WHERE ?1 = ?1 AND ?2 = ?2
ORDER BY w.stack, w.depth;
