-- Every step, with what the recorder kept of it on one device.
-- ?1 device (id)
-- columns: step, pattern (schema.sql, folding), start, end (ns), complete, thinned (of the
-- pattern), allocated at its start, most allocated, most reserved, when most was allocated (ns),
-- in which phase, at which event (each NULL where the device was not used), events
SELECT s.id, q.id, s.start_ns, s.end_ns, s.complete, q.thinned, d.start_allocated,
       d.peak_allocated, d.peak_reserved, d.peak_ns, d.peak_phase, d.peak, s.events
FROM step s
JOIN step q ON q.id = coalesce(s.same_as, s.id)
LEFT JOIN step_device d ON d.step = s.id AND d.device = ?1
ORDER BY s.id;
