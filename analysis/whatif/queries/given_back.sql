-- When memory was given back to the device.
-- ?1 device (id)
-- columns: step, ordinal (of the next event)
SELECT died_step, died FROM segment
WHERE device = ?1 AND host = 0 AND died_step NOTNULL
GROUP BY died_step, died
ORDER BY died_step, died;
