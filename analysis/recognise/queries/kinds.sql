-- What a step did, as its operators tell.
-- ?1 device (id), ?2 and ?3 first and last id of the step's rows
-- columns: 1 or 0 each: recomputed, an operator for attention, a softmax over four dimensions,
-- dropout
SELECT EXISTS (SELECT 1 FROM sited WHERE device = ?1 AND id BETWEEN ?2 AND ?3
               AND phase = 4 /* phase recompute */),
       EXISTS (SELECT 1 FROM sited WHERE device = ?1 AND id BETWEEN ?2 AND ?3
               AND op_name LIKE '%attention%'),
       EXISTS (SELECT 1 FROM sited WHERE device = ?1 AND id BETWEEN ?2 AND ?3
               AND op_name LIKE '%softmax%' AND dims LIKE '[%,%,%,%]'),
       EXISTS (SELECT 1 FROM sited WHERE device = ?1 AND id BETWEEN ?2 AND ?3
               AND op_name LIKE '%dropout%');
