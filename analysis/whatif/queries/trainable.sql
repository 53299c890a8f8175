-- Parameters that are trained, as Python named them; the newest look at each.
-- ?1 device (name)
-- columns: name, bytes
SELECT name, bytes FROM tensor
WHERE kind = 'parameter' AND trainable = 1 AND device = ?1 AND address IS NOT NULL
GROUP BY address
ORDER BY min(id);
