-- Memory taken from the device and given back.
-- ?1 device (name; '': all), ?2 step (-1: all)
-- columns: as named
SELECT g.id AS segment, d.name AS device, g.kind, g.host, g.address, g.mapped, g.bytes,
       g.born_step, g.born AS born_ordinal, g.born_ns, g.died_step, g.died AS died_ordinal,
       g.died_ns
FROM segment g JOIN device d ON d.id = g.device
WHERE (?1 = '' OR d.name = ?1) AND (?2 < 0 OR g.born_step = ?2)
ORDER BY g.id;
