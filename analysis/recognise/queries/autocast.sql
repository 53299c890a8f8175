-- Did forward cast to half precision inside a module that multiplies? Autocast casts where it
-- multiplies; FSDP gathers parameters that are cast.
-- ?1 device (id), ?2 and ?3 first and last id of the step's rows
-- columns: 1 or 0
SELECT EXISTS (
	SELECT 1 FROM sited
	WHERE device = ?1 AND id BETWEEN ?2 AND ?3
	  AND phase IN (2 /* phase forward */, 4 /* phase recompute */)
	  AND op_name LIKE '%_to_copy' AND dtype IN ('bfloat16', 'float16')
	  AND module IN (SELECT module FROM site WHERE op IN multiplication));
