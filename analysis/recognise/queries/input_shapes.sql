-- The shapes of what came in and outlived its step: made before the loop, or before the first
-- forward. Largest first.
-- ?1 device (id)
-- columns: dims, dtype, bucket
SELECT h.dims, h.dtype, a.bucket
FROM crossing a
JOIN site s ON s.id = a.site
JOIN shape h ON h.id = s.shape
WHERE a.device = ?1 AND a.bucket = 5 /* bucket input */
ORDER BY a.bytes DESC;
