-- Requests that were refused (v_oom).
-- ?1 device (name; '': all), ?2 step (-1: all)
-- columns: as named
SELECT device, step, phase, time_ns, requested_bytes, allocated_bytes, reserved_bytes,
       device_free_bytes, device_total_bytes, source, message
FROM v_oom WHERE (?1 = '' OR device = ?1) AND (?2 < 0 OR step = ?2)
ORDER BY time_ns;
