-- The most that a device ever had reserved and in use.
-- ?1 device (id)
-- columns: reserved, in use on the device, the device's size (all bytes; NULL: not said)
SELECT (SELECT max(peak_reserved) FROM step_device WHERE device = ?1),
       max(device_total_bytes - device_free_bytes), max(device_total_bytes)
FROM memory_sample
WHERE device = ?1;
