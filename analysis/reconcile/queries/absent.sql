-- The sizes of what was not alive at an instant: the absent of alive.sql, freed before or
-- born after. What forward or a recomputation made is an activation, kept or not.
-- ?1 device (id), ?2 step, ?3 and ?4 first and last id of its pattern's rows, ?5 its pattern,
-- ?6 the instant (ordinal)
-- columns: 1 for born after, bucket, bytes of one block, blocks of that size
WITH absent AS (
	SELECT 0 AS part, site, bucket, requested, bytes FROM allocation
	WHERE device = ?1 AND id BETWEEN ?3 AND ?4 AND born_step = ?5 AND died_step = ?5
	  AND died <= ?6
	UNION ALL
	SELECT 1, site, bucket, requested, bytes FROM crossing
	WHERE device = ?1 AND born_step < ?5 AND died_step = ?5 AND died <= ?6
	UNION ALL
	SELECT 2, site, bucket, requested, bytes FROM allocation
	WHERE device = ?1 AND id BETWEEN ?3 AND ?4 AND born_step = ?5 AND born > ?6
	UNION ALL
	SELECT 3, site, bucket, requested, bytes FROM crossing
	WHERE device = ?1 AND born_step > ?2
	  AND bucket IN (0 /* bucket parameter */, 2 /* bucket gradient */,
	                 3 /* bucket optimizer */))
SELECT part >= 2,
       CASE WHEN s.phase IN (2 /* phase forward */, 4 /* phase recompute */)
            THEN 4 /* bucket activation */ ELSE bucket END,
       CASE WHEN requested BETWEEN 0 AND bytes THEN requested ELSE bytes END,
       count(*)
FROM absent CROSS JOIN site s ON s.id = absent.site -- CROSS: in this order
GROUP BY part, 2, 3;
