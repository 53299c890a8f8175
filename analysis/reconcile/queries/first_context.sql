-- What a device had in use beside reserved memory when the first segment was there. A sample
-- inside cudaMalloc has the new piece in use and not in reserved yet; the one after it, with
-- as much free, has both. Later ones with as much free come when the memory is given back.
-- ?1 device (id)
-- columns: bytes (NULL: no sample tells)
WITH first AS (
	SELECT id, device_free_bytes AS free FROM memory_sample
	WHERE device = ?1 AND device_free_bytes NOTNULL AND reserved_bytes NOTNULL
	ORDER BY id
	LIMIT 1)
SELECT min(device_total_bytes - device_free_bytes - reserved_bytes)
FROM first, memory_sample m
WHERE device = ?1 AND m.id >= first.id
  AND m.id < coalesce((SELECT min(id) FROM memory_sample
                       WHERE device = ?1 AND id > first.id AND device_free_bytes <> free),
                      m.id + 1);
