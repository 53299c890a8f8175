-- What was alive at each device's peak (v_peak_live), largest first.
-- columns: as named
SELECT device, bytes, blocks, phase, bucket, module, op, shape, dtype
FROM v_peak_live ORDER BY device, bytes DESC;
