-- The frames of a stack, innermost first.
-- ?1 stack (id)
-- columns: frame (id), 1 for a native one, function, file, line (NULL for native ones)
WITH RECURSIVE walk(parent, frame, depth) AS (
	SELECT parent, frame, 0 FROM stack WHERE id = ?1
	UNION ALL
	SELECT s.parent, s.frame, depth + 1
	FROM walk JOIN stack s ON s.id = walk.parent
	WHERE depth < 1024)
SELECT f.id, f.kind = 'native', f.function, f.file, f.line
FROM walk JOIN frame f ON f.id = walk.frame
ORDER BY depth;
