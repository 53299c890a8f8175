-- The device around PyTorch: its size, and what was in use and not reserved. An imported trace knows
-- what was free at a refusal and not the size: the size is then what PyTorch could have had.
-- ?1 device (id), ?2 a refusal (id of oom; less than 0: none)
-- columns: total, outside (bytes)
SELECT total, outside FROM (
	SELECT coalesce(device_total_bytes, device_free_bytes + reserved_bytes) AS total,
	       coalesce(device_total_bytes - device_free_bytes - reserved_bytes, 0) AS outside,
	       1 AS rank, id
	FROM oom WHERE id = ?2 AND device_free_bytes NOTNULL AND reserved_bytes NOTNULL
	UNION ALL
	SELECT device_total_bytes, device_total_bytes - device_free_bytes - reserved_bytes, 2, -id
	FROM memory_sample
	WHERE device = ?1 AND device_total_bytes NOTNULL AND device_free_bytes NOTNULL
	      AND reserved_bytes NOTNULL)
ORDER BY rank, id
LIMIT 1;
