-- How long a step of this run takes: the median of the complete ones. The first is left out where
-- there are others: it loads kernels and makes the optimizer's states.
-- columns: nanoseconds
WITH durations AS (
	SELECT end_ns - start_ns AS ns,
	       row_number() OVER (ORDER BY end_ns - start_ns) AS place,
	       count(*) OVER () AS total
	FROM step
	WHERE complete = 1 AND id >= 1
	  AND (id > 1 OR (SELECT count(*) FROM step WHERE complete = 1 AND id >= 1) = 1))
SELECT ns FROM durations WHERE place = (total + 1) / 2;
