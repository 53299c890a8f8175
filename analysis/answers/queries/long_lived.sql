-- Blocks that were made before a step, not in the setup, and lived through a whole step.
-- ?1 device (id), ?2 the step
-- columns: site, bucket, address, bytes, born_step, died_step, born, died
SELECT site, bucket, address, bytes, born_step, died_step, born, died
FROM crossing
WHERE device = ?1 AND born_step BETWEEN 1 AND ?2 - 1
  AND (died_step IS NULL OR died_step > born_step + 1);
