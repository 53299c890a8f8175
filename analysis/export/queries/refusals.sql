-- Requests that were refused, in order.
-- columns: step, ordinal, time (ns), device (id), site (NULL: not known), requested bytes, free
-- bytes of the device
SELECT step, ordinal, time_ns, device, site, requested_bytes, device_free_bytes
FROM oom
WHERE source <> 'exception'
ORDER BY step, ordinal, id;
