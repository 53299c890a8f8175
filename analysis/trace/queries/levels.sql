-- Blocks that lived through at least one whole step.
-- ?1 device (id)
-- columns: bucket, bytes, born_step, died_step
SELECT bucket, bytes, born_step, died_step FROM crossing
WHERE device = ?1 AND (died_step IS NULL OR died_step > born_step + 1);
