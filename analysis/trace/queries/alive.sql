-- What was alive on a device after an event of a step, each block one row: the rule at the
-- head of schema.sql. A folded step's own events are its pattern's; what came in from before
-- and stays past its end is its own. Three parts, because two go by the index of rows that
-- cross the border of a step and one by a range of ids: with OR SQLite would read the table.
-- ?1 device (id), ?2 step, ?3 and ?4 first and last id of the pattern's rows, ?5 its pattern,
-- ?6 the event (ordinal; -1: when the step began)
-- columns: site, bucket, bytes, address, born_step, died_step, rule, requested (bytes), born,
-- died
SELECT site, bucket, bytes, address, born_step, died_step, rule, requested, born, died
FROM crossing
WHERE device = ?1 AND born_step < ?2 AND (died_step IS NULL OR died_step > ?2)
UNION ALL
SELECT site, bucket, bytes, address, born_step, died_step, rule, requested, born, died
FROM allocation
WHERE id BETWEEN ?3 AND ?4 AND born <= ?6 AND device = ?1 AND born_step = ?5
  AND (died_step IS NULL OR died_step > ?5 OR died > ?6)
UNION ALL
SELECT site, bucket, bytes, address, born_step, died_step, rule, requested, born, died
FROM crossing
WHERE device = ?1 AND born_step < ?5 AND died_step = ?5 AND died > ?6;
