-- How many tensors of the step's forward are as wide as the vocabulary, and how many of them were
-- held when its backward had ended: the loop holds what the model gave, or it has the loss alone.
-- ?1 device (id), ?2 and ?3 first and last id of the step's rows, ?4 vocabulary
-- columns: made, held
SELECT count(*),
       coalesce(sum(a.died_phase NOT IN (2 /* phase forward */, 3 /* phase backward */)
                    OR EXISTS (SELECT 1 FROM crossing c
                               WHERE c.born_step = a.born_step AND c.id = a.id)), 0)
FROM sited JOIN allocation a ON a.id = sited.id
WHERE sited.device = ?1 AND sited.id BETWEEN ?2 AND ?3
  AND sited.phase = 2 /* phase forward */
  AND sited.dims LIKE '%, ' || ?4 || ']';
