-- The dtypes in which forward and recomputations multiplied, most bytes first.
-- ?1 device (id), ?2 and ?3 first and last id of the step's rows
-- columns: dtype
SELECT dtype FROM sited
WHERE device = ?1 AND id BETWEEN ?2 AND ?3
  AND phase IN (2 /* phase forward */, 4 /* phase recompute */)
  AND dtype IS NOT NULL AND op IN multiplication
GROUP BY dtype
ORDER BY sum(bytes) DESC;
