-- Modules with parameters that are to be trained, by an optimizer, and have had neither a gradient
-- nor a state so far, although a step was complete.
-- columns: module
WITH learned AS (SELECT name FROM tensor WHERE kind = 'gradient'
                 UNION SELECT substr(name, 1, instr(name, ' ') - 1) FROM tensor WHERE kind = 'optimizer')
SELECT DISTINCT rtrim(rtrim(name, replace(name, '.', '')), '.') FROM tensor
WHERE kind = 'parameter' AND trainable AND name NOT IN (SELECT name FROM learned)
  AND EXISTS (SELECT 1 FROM step WHERE complete AND id > 0)
  AND NOT EXISTS (SELECT 1 FROM meta 
                  WHERE key IN ('unowned.', 'unowned.' || substr(name, 1, instr(name, '.') - 1)))
ORDER BY 1;
