-- A refused allocation.
-- ?1 its id
-- columns: step, ordinal, requested (bytes), site, phase
SELECT o.step, o.ordinal, o.requested_bytes, o.site, s.phase
FROM oom o LEFT JOIN site s ON s.id = o.site
WHERE o.id = ?1;
