-- Device memory that had been taken from the driver by an instant and not given back.
-- ?1 device (id), ?2 step, ?3 ordinal, ?4 the latest instant that counts as before it (ns
-- since the run began; -1: the ordinal alone decides)
-- columns: address (NULL: a piece that was never mapped), bytes, 1 for a piece of an
-- expandable segment
SELECT CASE kind WHEN 'cuMemCreate' THEN mapped ELSE address END, bytes,
       kind = 'cuMemCreate'
FROM segment
WHERE device = ?1 AND host = 0
  AND (born_step < ?2 OR (born_step = ?2 AND (born <= ?3 OR born_ns <= ?4)))
  AND (died_step IS NULL OR died_step > ?2
       OR (died_step = ?2 AND died > ?3 AND died_ns > ?4));
