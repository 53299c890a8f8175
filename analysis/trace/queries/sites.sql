-- Where allocations come from, by name.
-- columns: id, phase, python_stack, native_stack, module (its name, else its class),
-- operator, dims, dtype, module (id), scope (its path), the module's class
SELECT s.id, s.phase, s.python_stack, s.native_stack, coalesce(m.name, m.class), o.name,
       h.dims, h.dtype, s.module, v.path, m.class
FROM site s
LEFT JOIN v_scope v ON v.id = s.scope
LEFT JOIN module m ON m.id = s.module
LEFT JOIN op o ON o.id = s.op
LEFT JOIN shape h ON h.id = s.shape
ORDER BY s.id;
