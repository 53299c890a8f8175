-- What the allocator had reserved on a device and what the device had in use, by time.
-- ?1 device (id)
-- columns: time (ns), reserved (bytes), in use on the device (bytes; NULL: not said)
SELECT time_ns, reserved_bytes, device_total_bytes - device_free_bytes
FROM memory_sample
WHERE device = ?1 AND reserved_bytes IS NOT NULL
ORDER BY time_ns, id;
