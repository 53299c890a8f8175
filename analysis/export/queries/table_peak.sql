-- The peak of each device (v_peak).
-- ?1 device (name; '': all), ?2 step: not asked
-- columns: as named
SELECT device, step, phase, time_ns, allocated_bytes, reserved_bytes
FROM v_peak WHERE (?1 = '' OR device = ?1) AND ?2 = ?2
ORDER BY device;
