-- What the allocator said it had reserved after an event that changed it, or after memory was
-- taken from the device for it.
-- ?1 device (id)
-- columns: step, ordinal, reserved (bytes)
SELECT step, ordinal, reserved_bytes FROM memory_sample
WHERE id IN (SELECT max(id) FROM memory_sample
             WHERE device = ?1 AND reserved_bytes NOTNULL GROUP BY step, ordinal)
ORDER BY id;
