-- The most of each bucket in each phase of each step (v_step_bucket).
-- ?1 device (name; '': all), ?2 step (-1: all)
-- columns: as named
SELECT step, device, phase, bucket, bytes
FROM v_step_bucket WHERE (?1 = '' OR device = ?1) AND (?2 < 0 OR step = ?2);
