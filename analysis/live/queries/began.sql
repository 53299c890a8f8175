-- What each bucket of a device held as a step began, and the most that it held in the step.
-- ?1 step, ?2 device (id), ?3 device (name)
-- columns: bucket, bytes as it began, most bytes
SELECT b.id, coalesce(mine.bytes, first.bytes, 0),
       coalesce((SELECT max(v.bytes) FROM v_step_bucket v
                 WHERE v.step = ?1 AND v.device = ?3 AND v.bucket = b.name), 0)
FROM step s JOIN bucket b ON b.id < 9
LEFT JOIN step_bucket first ON first.step = coalesce(s.same_as, s.id) AND first.device = ?2
	AND first.bucket = b.id AND first.phase = -1
LEFT JOIN step_bucket mine ON s.same_as NOTNULL AND mine.step = s.id AND mine.device = ?2
	AND mine.bucket = b.id AND mine.phase = -1
WHERE s.id = ?1;
