-- What is born or dies in a step that has rows of its own, on one device: part B of the head of
-- schema.sql, a block a row.
-- ?1 device (id), ?2 and ?3 first and last id of the step's rows, ?4 the step
-- columns: born_step, born, born_ns, died_step (NULL: never), died, died_ns (NULL: never),
-- bytes, bucket, site, address
SELECT born_step, born, born_ns, died_step, died, born_ns + lived_ns, bytes, bucket, site,
       address
FROM allocation
WHERE id BETWEEN ?2 AND ?3 AND born_step = ?4 AND device = ?1
UNION ALL
SELECT born_step, born, born_ns, died_step, died, born_ns + lived_ns, bytes, bucket, site,
       address
FROM ended
WHERE born_step < ?4 AND ends = ?4 AND device = ?1;
