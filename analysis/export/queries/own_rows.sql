-- What a folded step leaves alive for long has a row of its own: which birth of its pattern
-- it stands for, by the ordinal.
-- ?1 step
-- columns: ordinal, row, address, bucket
SELECT born, id, address, bucket FROM crossing WHERE born_step = ?1 ORDER BY born;
