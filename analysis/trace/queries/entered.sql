-- What lived when a step began and died in it, one block a row.
-- ?1 device (id), ?2 the step, or the pattern of a folded one
-- columns: bucket, bytes
SELECT bucket, bytes FROM ended
WHERE born_step < ?2 AND ends = ?2 AND device = ?1;
