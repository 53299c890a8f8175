-- The steps in which an allocation was refused.
-- ?1 device (id)
-- columns: step
SELECT DISTINCT step FROM oom WHERE device = ?1;
