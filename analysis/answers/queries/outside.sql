-- What a device had in use that was not PyTorch's, newest sample first.
-- ?1 device (id)
-- columns: bytes
SELECT device_total_bytes - device_free_bytes - reserved_bytes
FROM memory_sample
WHERE device = ?1 AND reserved_bytes IS NOT NULL AND device_free_bytes IS NOT NULL
ORDER BY id DESC;
