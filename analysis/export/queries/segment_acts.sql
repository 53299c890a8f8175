-- Device memory taken from the driver and given back, in order. PyTorch's allocator takes
-- multiples of 2 MiB by cudaMalloc, or pieces that it maps; other sizes are other libraries'.
-- columns: step, ordinal of the next event, time (ns), 1 where it was taken, device (id),
-- address, bytes, 1 for a piece of an expandable segment
SELECT born_step AS step, born AS at, born_ns AS ns, 1 AS taken, device,
       coalesce(mapped, address), bytes, mapped NOT NULL
FROM segment
WHERE host = 0 AND ((kind = 'cudaMalloc' AND bytes % 2097152 = 0) OR mapped NOT NULL)
UNION ALL
SELECT died_step, died, died_ns, 0, device, coalesce(mapped, address), bytes,
       mapped NOT NULL
FROM segment
WHERE host = 0 AND ((kind = 'cudaMalloc' AND bytes % 2097152 = 0) OR mapped NOT NULL)
  AND died_step NOT NULL
ORDER BY step, at, ns, taken;
