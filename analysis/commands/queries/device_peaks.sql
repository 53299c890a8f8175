-- The peak of each device in a step: all that is left of a step without rows.
-- ?1 step
-- columns: device (id), time (ns), ordinal, phase, allocated, reserved (bytes)
SELECT device, peak_ns, max(peak, 0), peak_phase, peak_allocated, peak_reserved
FROM step_device
WHERE step = ?1
ORDER BY device;
