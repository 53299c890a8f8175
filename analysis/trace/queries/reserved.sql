-- What the allocator had reserved on a device, whenever that changed.
-- ?1 device (id)
-- columns: step, ordinal, reserved (bytes)
SELECT step, ordinal, reserved_bytes FROM memory_sample
WHERE device = ?1 AND reserved_bytes IS NOT NULL
ORDER BY step, ordinal, id;
