-- Allocations of a device that are alive in a step or made after it began, in order.
-- ?1 device (id), ?2 the step
-- columns: id, site, bucket, bytes, requested, address, born_step, born, died_step, died,
-- died_phase, phase
SELECT a.id, a.site, a.bucket, a.bytes, a.requested, a.address, a.born_step, a.born,
       a.died_step, a.died, a.died_phase, s.phase
FROM allocation a CROSS JOIN site s ON s.id = a.site
WHERE a.id >= (SELECT min(first_allocation) FROM step WHERE id >= ?2)
  AND a.device = ?1 AND a.born_step >= ?2
UNION ALL
SELECT a.id, a.site, a.bucket, a.bytes, a.requested, a.address, a.born_step, a.born,
       a.died_step, a.died, a.died_phase, s.phase
FROM crossing a CROSS JOIN site s ON s.id = a.site
WHERE a.born_step < ?2 AND a.device = ?1 AND coalesce(a.died_step >= ?2, 1);
