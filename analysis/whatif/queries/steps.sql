-- The steps of a run in order, with what stands for each.
-- columns: step, pattern, complete, events, thinned
SELECT s.id, coalesce(s.same_as, s.id), s.complete, q.events,
       s.thinned OR q.thinned
FROM step s JOIN step q ON q.id = coalesce(s.same_as, s.id)
ORDER BY s.id;
