-- How many models that have a name and an optimizer have neither gradients nor optimizer states,
-- although a step was complete.
-- columns: count
SELECT count(*) FROM (SELECT substr(key, 7) || '.' AS root FROM meta WHERE key LIKE 'owner._%') m
WHERE EXISTS (SELECT 1 FROM step WHERE complete AND id > 0)
  AND NOT EXISTS (SELECT 1 FROM tensor t WHERE t.kind IN ('gradient', 'optimizer')
                  AND substr(t.name, 1, length(m.root)) = m.root);
