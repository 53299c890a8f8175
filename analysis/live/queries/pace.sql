-- The pace of the newest complete steps, of twenty at most.
-- columns: steps, nanoseconds that they took
SELECT count(*), max(end_ns) - min(start_ns)
FROM (SELECT start_ns, end_ns FROM step WHERE complete = 1 AND id >= 1 ORDER BY id DESC LIMIT 20);
