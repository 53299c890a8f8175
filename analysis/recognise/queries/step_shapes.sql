-- The shapes of what came in and of activations in a step, most bytes first. What the loading
-- of data made and freed itself is not what the model was given.
-- ?1 device (id), ?2 and ?3 first and last id of the pattern's rows, ?4 the bucket that comes
-- first
-- columns: dims, dtype, bucket
SELECT dims, dtype, bucket FROM sited
WHERE device = ?1 AND id BETWEEN ?2 AND ?3
  AND bucket IN (4 /* bucket activation */, 5 /* bucket input */)
  AND dims IS NOT NULL
  AND (died_phase IS NOT phase OR phase <> 1 /* phase data */)
GROUP BY dims, dtype, bucket
ORDER BY bucket = ?4 DESC, sum(bytes) DESC;
