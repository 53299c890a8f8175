-- The trie of stacks.
-- columns: id, parent (NULL: the outermost frame), frame
SELECT id, parent, frame FROM stack ORDER BY id;
