-- When memory was given back to the device, and whether a piece of it was taken at once.
-- ?1 device (id)
-- columns: step, ordinal (of the next event), taken at the same event (bytes; 0: none), free on
-- the device before (bytes; NULL: not known)
SELECT g.died_step, g.died,
       coalesce((SELECT sum(t.bytes) FROM segment t WHERE t.device = ?1 AND t.host = 0
                 AND t.born_step = g.died_step AND t.born = g.died), 0),
       (SELECT m.device_free_bytes FROM memory_sample m
        WHERE m.device = ?1 AND m.device_free_bytes NOTNULL AND m.reserved_bytes NOTNULL
          AND (m.step < g.died_step OR (m.step = g.died_step AND m.ordinal < g.died))
        ORDER BY m.id DESC LIMIT 1)
FROM segment g
WHERE g.device = ?1 AND g.host = 0 AND g.died_step NOTNULL
GROUP BY g.died_step, g.died
ORDER BY g.died_step, g.died;
