-- What allocator and device said whenever reserved memory changed.
-- ?1 device (name; '': all), ?2 step (-1: all)
-- columns: as named
SELECT d.name AS device, m.step, m.ordinal, m.time_ns, m.allocated_bytes, m.reserved_bytes,
       m.device_free_bytes, m.device_total_bytes
FROM memory_sample m JOIN device d ON d.id = m.device
WHERE (?1 = '' OR d.name = ?1) AND (?2 < 0 OR m.step = ?2)
ORDER BY m.id;
