-- Blocks, a row for each row of allocation. A folded step has the rows of the step that it
-- equals: `steps` says how many steps a row stands for, its own among them.
-- ?1 device (name; '': all), ?2 step (-1: all)
-- columns: as named
WITH alike AS MATERIALIZED (
	SELECT same_as AS step, count(*) AS steps FROM step WHERE same_as NOT NULL GROUP BY same_as
)
SELECT a.id AS block, d.name AS device, a.bytes, a.requested AS requested_bytes, a.address,
       b.name AS bucket, r.name AS rule, p.name AS phase, a.born_step, a.born AS born_ordinal,
       a.born_ns, a.died_step, a.died AS died_ordinal, a.born_ns + a.lived_ns AS died_ns,
       dp.name AS died_phase, 1 + coalesce(alike.steps, 0) AS steps,
       coalesce(m.name, m.class) AS module, o.name AS op, h.dims AS shape, h.dtype,
       v.path AS scope, s.python_stack, s.native_stack
FROM allocation a JOIN device d ON d.id = a.device JOIN bucket b ON b.id = a.bucket
LEFT JOIN rule r ON r.id = a.rule LEFT JOIN site s ON s.id = a.site
LEFT JOIN phase p ON p.id = s.phase LEFT JOIN phase dp ON dp.id = a.died_phase
LEFT JOIN module m ON m.id = s.module LEFT JOIN op o ON o.id = s.op
LEFT JOIN alike ON alike.step = a.born_step
LEFT JOIN shape h ON h.id = s.shape LEFT JOIN v_scope v ON v.id = s.scope
WHERE (?1 = '' OR d.name = ?1) AND (?2 < 0 OR a.born_step = ?2)
ORDER BY a.id;
