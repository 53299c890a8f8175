-- The segment at an address that has not been given back yet.
-- ?1 address (or handle), ?2 1: host memory
-- columns: id, device, bytes
SELECT id, device, bytes FROM segment
WHERE id = (SELECT max(id) FROM segment WHERE address = ?1 AND host = ?2 AND died_step IS NULL);
