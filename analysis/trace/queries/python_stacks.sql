-- Every stack of Python, callers first.
-- columns: id, its caller's (-1: none), frame
SELECT s.id, coalesce(s.parent, -1), s.frame
FROM stack s
JOIN frame f ON f.id = s.frame
WHERE f.kind = 'python'
ORDER BY s.id;
