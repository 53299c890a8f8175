-- The instant at which most was allocated on a device.
-- ?1 device (id), ?2 step (-1: the whole run)
-- columns: step, ordinal, time (ns), phase, allocated then, most reserved (bytes)
SELECT step, peak, peak_ns, peak_phase, peak_allocated, peak_reserved
FROM step_device
WHERE device = ?1 AND ?2 IN (-1, step)
ORDER BY peak_allocated DESC, step
LIMIT 1;
