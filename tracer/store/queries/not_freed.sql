-- Blocks that the trace does not show freed: the live ones, when a recovery goes on.
-- columns: id, device, site, bucket, rule, bytes, requested, address, born_step, born, born_ns
SELECT id, device, site, bucket, rule, bytes, requested, address, born_step, born, born_ns
FROM allocation
WHERE died_step IS NULL;
