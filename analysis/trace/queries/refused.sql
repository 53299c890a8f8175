-- The instant at which an allocation was refused.
-- ?1 oom (id)
-- columns: step, ordinal of the refused event, time (ns), allocated, reserved, in use on the
-- device, the device's size (all bytes; NULL: not said), phase (NULL: not known)
SELECT step, ordinal, time_ns, allocated_bytes, reserved_bytes,
       device_total_bytes - device_free_bytes, device_total_bytes, phase
FROM oom LEFT JOIN site ON site.id = oom.site
WHERE oom.id = ?1;
