-- What was made by place and bucket, over steps: of folded steps as often as they were told.
-- ?1 device (id), ?2 and ?3 the first and the last step
-- columns: site, bucket, blocks, bytes
WITH told(pattern, times) AS (
	SELECT coalesce(same_as, id), count(*) FROM step WHERE id BETWEEN ?2 AND ?3 GROUP BY 1)
SELECT a.site, a.bucket, sum(t.times), sum(a.bytes * t.times)
FROM told t JOIN step s ON s.id = t.pattern
JOIN allocation a ON a.id BETWEEN s.first_allocation AND s.last_allocation
WHERE a.device = ?1 AND a.born_step = t.pattern
GROUP BY a.site, a.bucket;
