-- Steps that have rows of their own and that no other step refers to, with their peak over all
-- devices. The first two are kept whole.
-- columns: step, first and last id of its rows, peak (bytes)
SELECT s.id, s.first_allocation, s.last_allocation, max(d.peak_allocated)
FROM step s JOIN step_device d ON d.step = s.id
WHERE s.same_as IS NULL AND NOT s.thinned AND s.id > 2 AND s.first_allocation NOTNULL
  AND NOT EXISTS (SELECT 1 FROM step t WHERE t.same_as = s.id)
GROUP BY s.id
ORDER BY s.id;
