-- The allocations and frees of a step that has rows of its own, in order.
-- ?1 and ?2 first and last id of the step's rows, ?3 the step
-- columns: ordinal, time (ns since the run began), 1 for an allocation, row, device (id), site,
-- bucket, bytes, requested, address, step in which it was born, in which it died
SELECT born AS at, born_ns, 1, id, device, site, bucket, bytes, requested, address,
       born_step, died_step
FROM allocation
WHERE id BETWEEN ?1 AND ?2 AND born_step = ?3
UNION ALL
SELECT died, born_ns + lived_ns, 0, id, device, site, bucket, bytes, requested, address,
       born_step, died_step
FROM allocation
WHERE id BETWEEN ?1 AND ?2 AND born_step = ?3 AND died_step = ?3
UNION ALL
SELECT died, born_ns + lived_ns, 0, id, device, site, bucket, bytes, requested, address,
       born_step, died_step
FROM ended
WHERE born_step < ?3 AND ends = ?3
ORDER BY at;
