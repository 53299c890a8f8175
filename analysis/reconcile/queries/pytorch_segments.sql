-- Segments that PyTorch's allocator held at an instant, by address. Segments are never
-- folded: (born_step, born) orders them with all events.
-- ?1 device (id), ?2 step, ?3 ordinal
-- columns: address, bytes, 1 for a piece of an expandable segment
SELECT coalesce(mapped, address) AS place, bytes, mapped NOT NULL
FROM segment
WHERE device = ?1 AND host = 0 AND (kind = 'cudaMalloc' OR mapped NOT NULL)
  AND (born_step, born) <= (?2, ?3)
  AND (died_step IS NULL OR (died_step, died) > (?2, ?3))
ORDER BY place;
