-- Device memory that was taken from the driver, in the order in which it was.
-- ?1 device (id)
-- columns: address (NULL: never mapped), bytes, step and ordinal of the next event then, step
-- and ordinal when it was given back (NULL: never), 1 for a page of an expandable segment
SELECT CASE kind WHEN 'cuMemCreate' THEN mapped ELSE address END, bytes, born_step, born,
       died_step, died, kind = 'cuMemCreate'
FROM segment
WHERE device = ?1 AND host = 0
ORDER BY id;
