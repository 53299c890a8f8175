-- What Python named on a device, by address. An address may have been looked at in several
-- steps: newest look first.
-- ?1 device (name)
-- columns: address, step, name, kind, bytes, bucket (NULL: no bucket has that name), ordinal
SELECT address, step, t.name, kind, bytes, b.id, ordinal
FROM tensor t LEFT JOIN bucket b ON b.name = kind
WHERE device = ?1 AND address IS NOT NULL
ORDER BY address, step DESC, ordinal DESC, t.id;
