-- The samples of a device at or before an event, newest first.
-- ?1 device (id), ?2 step, ?3 the event (ordinal)
-- columns: reserved, in use on the device, the device's size (all bytes; NULL: not said)
SELECT reserved_bytes, device_total_bytes - device_free_bytes, device_total_bytes
FROM memory_sample
WHERE device = ?1 AND (step, ordinal) <= (?2, ?3)
ORDER BY step DESC, ordinal DESC, id DESC;
