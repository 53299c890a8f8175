-- The most in each phase of each step; of a folded step its pattern's, moved by what it began with.
-- ?1 device (name; '': all), ?2 step (-1: all)
-- columns: as named
SELECT s.id AS step, d.name AS device, p.name AS phase,
       sp.peak_allocated + k.start_allocated - q.start_allocated AS peak_allocated_bytes,
       sp.events
FROM step s JOIN step_phase sp ON sp.step = coalesce(s.same_as, s.id)
JOIN step_device k ON k.step = s.id AND k.device = sp.device
JOIN step_device q ON q.step = sp.step AND q.device = sp.device
JOIN device d ON d.id = sp.device JOIN phase p ON p.id = sp.phase
WHERE (?1 = '' OR d.name = ?1) AND (?2 < 0 OR s.id = ?2)
ORDER BY s.id, d.name, sp.phase;
