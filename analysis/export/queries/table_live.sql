-- What was alive at each device's peak (v_peak_live), largest first.
-- ?1 device (name; '': all), ?2 step: not asked
-- columns: as named
SELECT device, bytes, blocks, phase, bucket, module, op, shape, dtype
FROM v_peak_live WHERE (?1 = '' OR device = ?1) AND ?2 = ?2
ORDER BY device, bytes DESC;
