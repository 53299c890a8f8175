-- Every frame of a stack.
-- columns: id, function, file, line (NULL: a native frame)
SELECT id, function, file, line FROM frame ORDER BY id;
