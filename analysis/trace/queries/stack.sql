-- The frames of a stack, innermost first.
-- ?1 stack (id)
-- columns: kind ('python', 'native'), function, file, line, frame (id)
WITH RECURSIVE walk(id, parent, frame, depth) AS (
	SELECT id, parent, frame, 0 FROM stack WHERE id = ?1
	UNION ALL
	SELECT s.id, s.parent, s.frame, depth + 1
	FROM walk JOIN stack s ON s.id = walk.parent
	WHERE depth < 1024)
SELECT f.kind, f.function, f.file, f.line, f.id
FROM walk JOIN frame f ON f.id = walk.frame
ORDER BY depth;
