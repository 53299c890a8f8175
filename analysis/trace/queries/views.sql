-- What other queries are written in. The command makes these views for itself when it opens
-- a trace; by hand: sqlite3 run.db, then .read analysis/trace/queries/views.sql

-- Rows of allocation that live on past the end of their step: what the index
-- allocation_crossing holds, and the only rows that it finds.
CREATE TEMP VIEW crossing AS
SELECT * FROM allocation INDEXED BY allocation_crossing
WHERE died_step IS NULL OR died_step > born_step;

-- The same by the step in which they end, which is column `ends`. With a table of its own
-- behind it (endings.sql) once many steps have been asked for.
CREATE TEMP VIEW ended AS
SELECT *, died_step AS ends FROM crossing;

-- Steps, each with the step whose rows speak for it (schema.sql, folding): its pattern.
CREATE TEMP VIEW patterned AS
SELECT q.id AS pattern, s.start_ns, s.end_ns, s.events, s.micro_steps,
       q.start_ns AS pattern_start_ns, q.end_ns AS pattern_end_ns,
       q.first_allocation, q.last_allocation, s.complete, q.thinned, s.id
FROM step s JOIN step q ON q.id = coalesce(s.same_as, s.id);

-- Operators that multiply matrices.
CREATE TEMP VIEW multiplication AS
SELECT id FROM op
WHERE name LIKE '%mm' OR name LIKE '%linear%' OR name LIKE '%matmul%' OR name LIKE '%conv%';

-- An allocation with what its site says about it.
CREATE TEMP VIEW sited AS
SELECT a.id, a.device, a.bucket, a.bytes, a.died_phase, s.phase, s.module, s.op,
       o.name AS op_name, h.dims, h.dtype
FROM allocation a
JOIN site s ON s.id = a.site
LEFT JOIN shape h ON h.id = s.shape
LEFT JOIN op o ON o.id = s.op;
