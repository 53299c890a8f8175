-- The steps of a device before another one.
-- ?1 device (id), ?2 the other step
-- columns: step, allocated when it began, most allocated (bytes), the phase of that
SELECT step, start_allocated, peak_allocated, peak_phase FROM step_device
WHERE device = ?1 AND step < ?2
ORDER BY step;
