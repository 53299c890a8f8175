-- Blocks that lived through at least one whole step.
-- ?1 device (id)
-- columns: born_step, born, died_step (NULL: never), died, bytes, bucket, site, address
SELECT born_step, born, died_step, died, bytes, bucket, site, address
FROM crossing
WHERE device = ?1 AND (died_step IS NULL OR died_step > born_step + 1)
ORDER BY born_step, born;
