-- The Python stacks that have a frame of a file in them.
-- ?1 how the file's name ends, as a pattern of LIKE
-- columns: stack
WITH RECURSIVE inside(id) AS (
	SELECT s.id FROM stack s JOIN frame f ON f.id = s.frame
	WHERE f.kind = 'python' AND f.file LIKE ?1
	UNION
	SELECT s.id FROM stack s JOIN inside i ON s.parent = i.id)
SELECT id FROM inside ORDER BY id;
