-- What the forwards and recomputations of a step made, in order, workspaces left out.
-- ?1 device (id), ?2 and ?3 first and last id of the step's rows
-- columns: operator (NULL: not known), bytes, module (0: none)
SELECT o.name, coalesce(a.requested, a.bytes), coalesce(s.module, 0)
FROM allocation a
JOIN site s ON s.id = a.site
LEFT JOIN op o ON o.id = s.op
WHERE a.device = ?1 AND a.id BETWEEN ?2 AND ?3
  AND s.phase IN (2 /* phase forward */, 4 /* phase recompute */)
  AND a.bucket IN (4 /* bucket activation */, 6 /* bucket temporary */)
ORDER BY a.born;
