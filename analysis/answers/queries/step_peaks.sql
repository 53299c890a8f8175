-- The peak of every step of a device.
-- ?1 device (id)
-- columns: step, allocated, reserved (bytes), phase, complete
SELECT d.step, peak_allocated, peak_reserved, peak_phase, complete
FROM step_device d JOIN step s ON s.id = d.step
WHERE device = ?1
ORDER BY d.step;
