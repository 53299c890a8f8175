-- What allocator and device said whenever reserved memory changed.
-- columns: as named
SELECT d.name AS device, m.step, m.ordinal, m.time_ns, m.allocated_bytes, m.reserved_bytes,
       m.device_free_bytes, m.device_total_bytes
FROM memory_sample m JOIN device d ON d.id = m.device
ORDER BY m.id;
