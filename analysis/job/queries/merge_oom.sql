-- Requests that were refused (v_oom).
-- columns: as named
SELECT device, step, phase, time_ns, requested_bytes, allocated_bytes, reserved_bytes,
       device_free_bytes, device_total_bytes, source, message
FROM v_oom ORDER BY time_ns;
