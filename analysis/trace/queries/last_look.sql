-- When parameters were looked at last.
-- columns: step, ordinal
SELECT step, coalesce(ordinal, 0) FROM tensor
WHERE kind = 'parameter' AND step NOTNULL
ORDER BY step DESC, ordinal DESC
LIMIT 1;
