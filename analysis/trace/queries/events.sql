-- The allocations and frees of a step that has rows of its own, in no order.
-- ?1 and ?2 first and last id of the step's rows, ?3 the step
-- columns: ordinal, time (ns since the run began), bytes (negative for a free), device (id),
-- phase, bucket
SELECT a.born, a.born_ns, a.bytes, a.device, s.phase, a.bucket
FROM allocation a LEFT JOIN site s ON s.id = a.site
WHERE a.id BETWEEN ?1 AND ?2 AND a.born_step = ?3
UNION ALL
SELECT died, born_ns + lived_ns, -bytes, device, died_phase, bucket
FROM allocation
WHERE id BETWEEN ?1 AND ?2 AND born_step = ?3 AND died_step = ?3
UNION ALL
SELECT died, born_ns + lived_ns, -bytes, device, died_phase, bucket
FROM ended
WHERE born_step < ?3 AND ends = ?3;
