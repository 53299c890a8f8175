-- The most that each bucket held in each phase of a step, as the recorder kept it: of a step
-- whose rows were thinned away nothing else tells.
-- ?1 step, ?2 device (id)
-- columns: bucket, phase, bytes
SELECT b.id, p.id, v.bytes
FROM v_step_bucket v
JOIN device d ON d.name = v.device
JOIN bucket b ON b.name = v.bucket
JOIN phase p ON p.name = v.phase
WHERE v.step = ?1 AND d.id = ?2
ORDER BY p.id;
