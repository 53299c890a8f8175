-- The allocations of a step up to an event, in order.
-- ?1 and ?2 first and last id of its pattern's rows, ?3 its pattern, ?4 device (id), ?5 the
-- event (ordinal)
-- columns: ordinal, site, bytes
SELECT born, site, bytes FROM allocation
WHERE id BETWEEN ?1 AND ?2 AND born_step = ?3 AND device = ?4 AND born <= ?5
ORDER BY born;
