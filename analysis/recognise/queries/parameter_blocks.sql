-- The blocks of parameters that outlived a step: AccumulateGrad named them.
-- ?1 device (id)
-- columns: bytes, dtype (NULL: not known)
SELECT coalesce(a.requested, a.bytes), h.dtype
FROM crossing a
JOIN site s ON s.id = a.site
LEFT JOIN shape h ON h.id = s.shape
WHERE a.device = ?1 AND a.bucket = 0 /* bucket parameter */;
