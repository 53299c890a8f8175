-- Frames of Python that read like an earlier one: two calls in one line, and one call before and
-- after the interpreter has specialised it.
-- columns: id, the first that reads so
SELECT id, first
FROM (SELECT id, min(id) OVER (PARTITION BY function, file, line) AS first
      FROM frame WHERE kind = 'python')
WHERE id <> first;
