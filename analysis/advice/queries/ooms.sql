-- Allocations that were refused, in order.
-- ?1 device (id), ?2 step (negative: the whole run)
-- columns: id, requested (bytes), source, message, site (NULL: not known)
SELECT id, requested_bytes, source, message, site FROM oom
WHERE device = ?1 AND (?2 < 0 OR step = ?2)
ORDER BY id;
