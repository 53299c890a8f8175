-- Steps, a row for each step and device.
-- ?1 device (name; '': all), ?2 step (-1: all)
-- columns: as named
SELECT s.id AS step, d.name AS device, s.same_as, s.start_ns, s.end_ns, s.events,
       s.micro_steps, s.complete, s.thinned, k.start_allocated AS start_allocated_bytes,
       k.end_allocated AS end_allocated_bytes, k.peak_allocated AS peak_allocated_bytes,
       k.peak_reserved AS peak_reserved_bytes, k.peak_ns, p.name AS peak_phase
FROM step s JOIN step_device k ON k.step = s.id JOIN device d ON d.id = k.device
JOIN phase p ON p.id = k.peak_phase
WHERE (?1 = '' OR d.name = ?1) AND (?2 < 0 OR s.id = ?2)
ORDER BY s.id, d.name;
