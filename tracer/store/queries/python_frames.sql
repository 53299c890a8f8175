-- The Python frames of a stack, innermost first.
-- ?1 the stack
-- columns: file, line
WITH RECURSIVE up(stack, depth) AS (
  SELECT ?1, 0
  UNION ALL
  SELECT s.parent, depth + 1 FROM up JOIN stack s ON s.id = up.stack
  WHERE s.parent NOTNULL AND depth < 1000)
SELECT f.file, f.line
FROM up JOIN stack s ON s.id = up.stack JOIN frame f ON f.id = s.frame
WHERE f.kind = 'python'
ORDER BY depth;
