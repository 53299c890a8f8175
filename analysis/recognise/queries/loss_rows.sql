-- How many rows the loss has: of the probabilities that it is computed from.
-- ?1 device (id), ?2 and ?3 first and last id of the step's rows
-- columns: dims
SELECT dims FROM sited
WHERE device = ?1 AND id BETWEEN ?2 AND ?3
  AND phase = 2 /* phase forward */
  AND op_name LIKE '%log_softmax%' AND dims LIKE '[%,%]' AND dims NOT LIKE '[%,%,%]'
ORDER BY bytes DESC
LIMIT 1;
