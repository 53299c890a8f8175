-- schema.sql - what a tidemark trace file contains. The only contract between
-- the recorder (libtidemark.so) and every reader (the tidemark command, sqlite3).
--
-- Units: sizes are bytes, times are nanoseconds since the run began (run.started_unix_ns
-- places that instant in the calendar), devices are named as PyTorch does.
--
-- Steps. Step 0 is everything before the first forward or data-loading call (phase
-- setup), step n >= 1 ends when the n-th Optimizer.step() ends; what comes after the last
-- one belongs to a step with complete = 0. Many Optimizer.step()s inside one backward end one
-- step, with the backward. Where several backwards went by and no optimizer stepped, a step
-- ends where the next forward begins, and the last with the run: the trace then has a row
-- 'steps' in capability, with state 'degraded'. Inside a step events are numbered from 0 in
-- the order in which they happened, all devices and threads together ("ordinal").
--
-- Folding. Training repeats. A step whose ordered events (kind, size, device, phase,
-- stacks, module, shape, and which earlier allocation each free gives back) equal those
-- of an earlier step, thread by thread, with peaks as far above its start, has same_as =
-- that step and no allocation rows of its own, except for what outlives the next step, or
-- dies in a next step that has rows itself. (Threads that compute side by side interleave
-- differently each time: the order between threads is the earlier step's.) Its own start, duration and peaks are kept in step and
-- step_device. What is live in step k at ordinal i, with p = coalesce(same_as, k):
--   A  rows with born_step < k and (died_step > k or died_step is null)
--   B  rows with born_step = p, or born_step < p and died_step = p,
--      of which: (born_step < p or born <= i) and not (died_step = p and died <= i)
-- v_peak_live is that query at each device's peak. A thinned step (thinned = 1) has lost
-- its B rows to TIDEMARK_MAX_SIZE: only step, step_device and step_phase speak for it.

PRAGMA application_id = 1414351697; -- 'TMKQ': lets file(1) and the command recognise a trace
PRAGMA user_version = 1;            -- the schema version

-- One row: what was run, where, with which versions.
CREATE TABLE run (
	id INTEGER PRIMARY KEY CHECK (id = 1),
	tidemark_version TEXT NOT NULL,
	command TEXT,            -- the command line, arguments separated by blanks
	argv TEXT,               -- the same as a JSON array
	script TEXT,             -- Python's sys.argv[0], where Python told
	cwd TEXT,
	host TEXT,
	pid INTEGER,
	rank INTEGER,            -- RANK, or NULL outside a distributed job
	local_rank INTEGER,
	world_size INTEGER,
	started_unix_ns INTEGER NOT NULL,
	ended_ns INTEGER,        -- NULL while it runs, and where it was killed
	ended TEXT,              -- NULL running, 'exit', 'killed' (recovered from the ring),
	                         -- 'stopped' (a full disk, a ring that somebody cut: it went on untraced)
	exit_status INTEGER,     -- as far as the library saw it
	python_version TEXT,
	torch_version TEXT,
	cuda_version TEXT,       -- what torch was built with
	cuda_runtime INTEGER,    -- cudaRuntimeGetVersion, 13000 = 13.0
	cuda_driver INTEGER,     -- cudaDriverGetVersion
	simulated INTEGER NOT NULL DEFAULT 0,
	stacks TEXT NOT NULL,    -- none, python, native, all
	cpu INTEGER NOT NULL DEFAULT 0, -- 1: CPU tensors are traced
	model_class TEXT,
	model_config TEXT,       -- JSON, if the model has a config
	optimizer_class TEXT,
	ring TEXT                -- the file that holds what is not in here yet
);

-- Anything else worth keeping, by name (recovery state lives here too, "recover.*").
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;

-- Which signals this Python and this torch gave, and why one is missing.
CREATE TABLE capability (
	name TEXT PRIMARY KEY,
	state TEXT NOT NULL,     -- 'live', 'degraded', 'missing', 'off'
	why TEXT                 -- empty when live
) WITHOUT ROWID;

-- Loss is data: whatever was dropped, and what did not agree, counted by name.
CREATE TABLE lost (
	name TEXT PRIMARY KEY,   -- 'ring_full', 'ring_full_other', 'out_of_memory', 'out_of_memory_other',
	                         -- 'mismatch', 'unmatched_free', 'thinned_steps', ...
	count INTEGER NOT NULL,
	what TEXT                -- one sentence for people
) WITHOUT ROWID;

CREATE TABLE phase (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
INSERT INTO phase VALUES (0, 'setup'), (1, 'data'), (2, 'forward'), (3, 'backward'),
	(4, 'recompute'), (5, 'clip'), (6, 'optimizer'), (7, 'zero_grad'), (8, 'eval'),
	(9, 'other');

CREATE TABLE bucket (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
INSERT INTO bucket VALUES (0, 'parameter'), (1, 'buffer'), (2, 'gradient'),
	(3, 'optimizer'), (4, 'activation'), (5, 'input'), (6, 'temporary'),
	(7, 'workspace'), (8, 'communication'), (9, 'cache'), (10, 'context');

-- The rule that put an allocation into its bucket. evidence: 'pointer' (an address that
-- torch or Python named), 'program' (what the program said itself, see scope), 'lifetime'
-- (when it was born and died), 'stack', 'weak'.
CREATE TABLE rule (
	id INTEGER PRIMARY KEY,
	name TEXT NOT NULL UNIQUE,
	evidence TEXT NOT NULL,
	what TEXT NOT NULL
);

CREATE TABLE device (
	id INTEGER PRIMARY KEY,
	name TEXT NOT NULL UNIQUE, -- 'cuda:0', 'cpu'
	kind TEXT NOT NULL,        -- 'cuda', 'cpu', ...
	product TEXT,              -- 'NVIDIA H100 80GB HBM3'
	total_bytes INTEGER,       -- as cudaMemGetInfo says it
	compute_capability TEXT
);

CREATE TABLE thread (
	id INTEGER PRIMARY KEY,
	tid INTEGER,
	name TEXT                  -- as the kernel knows it: 'python', 'pt_autograd_0'
);

-- Stacks are a trie: a stack is its innermost frame and the stack of its caller.
CREATE TABLE frame (
	id INTEGER PRIMARY KEY,
	kind TEXT NOT NULL,        -- 'python' or 'native'
	function TEXT,             -- qualified name; demangled
	file TEXT,                 -- source file, or shared object for native frames
	line INTEGER,              -- source line, NULL for native frames
	address INTEGER            -- offset inside the shared object, NULL for Python frames
);
CREATE TABLE stack (
	id INTEGER PRIMARY KEY,
	parent INTEGER REFERENCES stack, -- the caller's; NULL at the outermost frame
	frame INTEGER NOT NULL REFERENCES frame,
	UNIQUE (parent, frame)
);

-- An nn.Module seen around an allocation. name is the dotted path, where Python gave it.
CREATE TABLE module (
	id INTEGER PRIMARY KEY,
	class TEXT,
	name TEXT,
	address INTEGER
);

CREATE TABLE op (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE); -- 'aten::mm', 'MmBackward0'

CREATE TABLE shape (
	id INTEGER PRIMARY KEY,
	dims TEXT NOT NULL,        -- '[4, 1024, 768]'
	dtype TEXT NOT NULL        -- 'float32', 'bfloat16', ...
);

-- Phases and buckets of the program's own (tidemark.h, record_function, NVTX), as they lie
-- inside each other: beside the fixed ones, not instead of them. One that has the name of a
-- fixed phase names what would be open otherwise; one that has the name of a bucket decides
-- where no pointer does (rule 'program'). v_scope has the whole path.
CREATE TABLE scope (
	id INTEGER PRIMARY KEY,
	parent INTEGER REFERENCES scope, -- the one around it
	kind TEXT NOT NULL,        -- 'phase' or 'bucket'
	name TEXT NOT NULL         -- cut after 63 bytes
);

-- Where allocations come from: everything about one that repeats.
CREATE TABLE site (
	id INTEGER PRIMARY KEY,
	phase INTEGER NOT NULL REFERENCES phase,
	thread INTEGER REFERENCES thread,
	python_stack INTEGER REFERENCES stack,
	native_stack INTEGER REFERENCES stack,
	module INTEGER REFERENCES module,
	op INTEGER REFERENCES op,
	shape INTEGER REFERENCES shape,
	scope INTEGER REFERENCES scope -- the innermost; NULL outside of all
);

-- Parameters, buffers and optimizer state as Python names them.
CREATE TABLE tensor (
	id INTEGER PRIMARY KEY,
	kind TEXT NOT NULL,        -- 'parameter', 'buffer', 'gradient', 'optimizer'
	name TEXT NOT NULL,        -- 'transformer.h.0.attn.weight', '... exp_avg'
	device TEXT,
	address INTEGER,           -- of its storage when it was last looked at
	bytes INTEGER,             -- numel times element size
	shape TEXT,
	dtype TEXT,
	trainable INTEGER,
	step INTEGER,              -- when it was looked at, and how many events of that
	ordinal INTEGER            -- step had happened then
);

CREATE TABLE step (
	id INTEGER PRIMARY KEY,
	same_as INTEGER REFERENCES step,
	start_ns INTEGER NOT NULL,
	end_ns INTEGER NOT NULL,
	events INTEGER NOT NULL,      -- allocations and frees
	micro_steps INTEGER NOT NULL, -- outermost backward passes
	complete INTEGER NOT NULL,    -- 1: ended by an Optimizer.step(), or as the head says
	first_allocation INTEGER,     -- its rows in allocation: all born in it have an id
	last_allocation INTEGER,      -- between these two; NULL where it has none of its own
	thinned INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE step_device (
	step INTEGER NOT NULL,
	device INTEGER NOT NULL REFERENCES device,
	start_allocated INTEGER NOT NULL,
	end_allocated INTEGER NOT NULL,
	peak_allocated INTEGER NOT NULL,
	peak_reserved INTEGER NOT NULL,
	peak INTEGER NOT NULL,        -- ordinal of the event that reached peak_allocated first;
	                              -- -1: the step began with it
	peak_ns INTEGER NOT NULL,
	peak_phase INTEGER NOT NULL REFERENCES phase,
	PRIMARY KEY (step, device)
) WITHOUT ROWID;

-- Per step, device and phase; of folded steps see same_as (peak_allocated shifted by the
-- difference of the two steps' start_allocated).
CREATE TABLE step_phase (
	step INTEGER NOT NULL,
	device INTEGER NOT NULL,
	phase INTEGER NOT NULL,
	peak_allocated INTEGER NOT NULL,
	events INTEGER NOT NULL,
	PRIMARY KEY (step, device, phase)
) WITHOUT ROWID;

-- The most that each bucket held in each phase of a step, each at a time of its own, of the
-- blocks that were seen. phase -1: when the step began. A folded step has rows of phase -1
-- alone, where they differ from those of its same_as; its phases are that step's, shifted by
-- the difference. A zero has no row but there. Buckets are those known when the step ended; evidence
-- that came later is in allocation. v_step_bucket puts it together.
CREATE TABLE step_bucket (
	step INTEGER NOT NULL,
	device INTEGER NOT NULL,
	bucket INTEGER NOT NULL,
	phase INTEGER NOT NULL,
	bytes INTEGER NOT NULL,
	PRIMARY KEY (step, device, bucket, phase)
) WITHOUT ROWID;

-- Phase spans of raw steps, in order. first: ordinal of the first event in it.
CREATE TABLE span (
	step INTEGER NOT NULL,
	number INTEGER NOT NULL,
	phase INTEGER NOT NULL,
	start_ns INTEGER NOT NULL,
	first INTEGER NOT NULL,
	PRIMARY KEY (step, number)
) WITHOUT ROWID;

-- Allocations with their lifetimes. born and died are ordinals in born_step, died_step.
-- A tensor in shared memory (a batch from a data loader's worker) is mapped, not allocated: it
-- has no row, neither in the process that fills it nor in the one that gets it.
CREATE TABLE allocation (
	id INTEGER PRIMARY KEY,
	device INTEGER NOT NULL,
	site INTEGER NOT NULL REFERENCES site,
	bucket INTEGER NOT NULL REFERENCES bucket,
	rule INTEGER NOT NULL REFERENCES rule,
	bytes INTEGER NOT NULL,       -- the block, as the allocator counts it
	requested INTEGER,            -- what the tensor needs; NULL if not known
	address INTEGER NOT NULL,
	born_step INTEGER NOT NULL,
	born INTEGER NOT NULL,
	born_ns INTEGER NOT NULL,
	died_step INTEGER,            -- NULL: still alive at the end of the trace
	died INTEGER,
	lived_ns INTEGER,             -- died at born_ns + lived_ns
	died_phase INTEGER
);
-- Those that cross the border of a step: few, and what a peak in another step needs.
CREATE INDEX allocation_crossing ON allocation (born_step)
	WHERE died_step IS NULL OR died_step > born_step;

-- Device memory taken from the driver (cudaMalloc, cuMemCreate, ...), never folded.
CREATE TABLE segment (
	id INTEGER PRIMARY KEY,
	device INTEGER NOT NULL,
	kind TEXT NOT NULL,           -- the call: 'cudaMalloc', 'cuMemCreate', 'cudaHostAlloc', ...
	host INTEGER NOT NULL,        -- 1: host (pinned) memory
	address INTEGER NOT NULL,     -- or handle, for cuMemCreate
	mapped INTEGER,               -- the address that such a handle was given (cuMemMap)
	bytes INTEGER NOT NULL,
	born_step INTEGER NOT NULL,
	born INTEGER NOT NULL,        -- ordinal of the next event of its step
	born_ns INTEGER NOT NULL,
	died_step INTEGER,
	died INTEGER,
	died_ns INTEGER
);
-- Those that are held, by address: a free names nothing else, and a program that empties its cache
-- each step gives back thousands.
CREATE INDEX segment_held ON segment (address) WHERE died_step IS NULL;

-- The allocator's and the device's own totals, whenever reserved memory changed. Just after
-- memory was given back reserved_bytes is NULL where the allocator has not said what it holds
-- (it has not; but where all that was taken from the device is its own, that is known), and
-- device_free_bytes where another device was the current one.
CREATE TABLE memory_sample (
	id INTEGER PRIMARY KEY,
	device INTEGER NOT NULL,
	step INTEGER NOT NULL,
	ordinal INTEGER NOT NULL,
	time_ns INTEGER NOT NULL,
	allocated_bytes INTEGER,
	reserved_bytes INTEGER,
	device_free_bytes INTEGER,
	device_total_bytes INTEGER
);

CREATE TABLE oom (
	id INTEGER PRIMARY KEY,
	device INTEGER NOT NULL,
	step INTEGER NOT NULL,
	ordinal INTEGER NOT NULL,
	time_ns INTEGER NOT NULL,
	site INTEGER REFERENCES site,
	source TEXT NOT NULL,         -- 'allocator', 'cudaMalloc', 'cudaMallocAsync', 'exception'
	requested_bytes INTEGER,
	allocated_bytes INTEGER,
	reserved_bytes INTEGER,
	device_free_bytes INTEGER,
	device_total_bytes INTEGER,
	message TEXT
);

-- What the writer needs to go on after a crash; empty in a finished file. Not for readers.
CREATE TABLE carry (id INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE spill (id INTEGER PRIMARY KEY, data BLOB NOT NULL);

-- ---------------------------------------------------------------------------
-- Views: the three questions, for someone with nothing but sqlite3.

-- Every scope with its path and the innermost phase and bucket of the program's own in it.
CREATE VIEW v_scope AS
WITH RECURSIVE inside(id, path, phase, bucket) AS (
	SELECT id, name, CASE kind WHEN 'phase' THEN name END,
	       CASE kind WHEN 'bucket' THEN name END FROM scope WHERE parent IS NULL
	UNION ALL
	SELECT s.id, i.path || ' / ' || s.name,
	       CASE s.kind WHEN 'phase' THEN s.name ELSE i.phase END,
	       CASE s.kind WHEN 'bucket' THEN s.name ELSE i.bucket END
	FROM inside i JOIN scope s ON s.parent = i.id)
SELECT id, path, phase, bucket FROM inside;

CREATE VIEW v_step_peak AS
SELECT d.name AS device, sd.step AS step, p.name AS phase, sd.peak_ns AS time_ns,
       sd.peak_allocated AS allocated_bytes, sd.peak_reserved AS reserved_bytes
FROM step_device sd JOIN device d ON d.id = sd.device JOIN phase p ON p.id = sd.peak_phase;

CREATE VIEW v_peak AS
SELECT device, step, phase, time_ns, allocated_bytes,
       (SELECT max(sd.peak_reserved) FROM step_device sd JOIN device d ON d.id = sd.device
        WHERE d.name = v.device) AS reserved_bytes
FROM v_step_peak v
WHERE (device, step) IN (
	SELECT device, step FROM (
		SELECT device, step, row_number() OVER (
			PARTITION BY device ORDER BY allocated_bytes DESC, step) AS n
		FROM v_step_peak) WHERE n = 1);

-- The step and ordinal of each device's peak, and the step whose rows stand for it.
CREATE VIEW v_peak_point AS
SELECT d.id AS device_id, v.device AS device, v.step AS step, q.id AS pattern,
       q.first_allocation AS first, q.last_allocation AS last, sd.peak AS ordinal
FROM v_peak v JOIN device d ON d.name = v.device
JOIN step s ON s.id = v.step
JOIN step q ON q.id = coalesce(s.same_as, s.id)
JOIN step_device sd ON sd.step = v.step AND sd.device = d.id;

-- The allocations live at each device's peak: A, then B, of the head of this file.
CREATE VIEW v_peak_row AS
SELECT k.device AS device_name, a.* FROM v_peak_point k CROSS JOIN allocation a INDEXED BY allocation_crossing
	ON a.born_step < k.step AND (a.died_step IS NULL OR a.died_step > a.born_step)
	WHERE a.device = k.device_id AND (a.died_step IS NULL OR a.died_step > k.step)
UNION ALL
SELECT k.device, a.* FROM v_peak_point k CROSS JOIN allocation a
	ON a.id BETWEEN k.first AND k.last
	WHERE a.device = k.device_id AND a.born_step = k.pattern AND a.born <= k.ordinal
	AND (a.died_step IS NULL OR a.died_step > k.pattern OR a.died > k.ordinal)
UNION ALL
SELECT k.device, a.* FROM v_peak_point k CROSS JOIN allocation a INDEXED BY allocation_crossing
	ON a.born_step < k.pattern AND (a.died_step IS NULL OR a.died_step > a.born_step)
	WHERE a.device = k.device_id AND a.died_step = k.pattern AND a.died > k.ordinal;

CREATE VIEW v_peak_live AS
SELECT a.device_name AS device, sum(a.bytes) AS bytes, count(*) AS blocks,
       p.name AS phase, b.name AS bucket, coalesce(m.name, m.class) AS module,
       o.name AS op, sh.dims AS shape, sh.dtype AS dtype
FROM v_peak_row a JOIN site s ON s.id = a.site JOIN phase p ON p.id = s.phase
JOIN bucket b ON b.id = a.bucket LEFT JOIN module m ON m.id = s.module
LEFT JOIN op o ON o.id = s.op LEFT JOIN shape sh ON sh.id = s.shape
GROUP BY a.device_name, p.name, b.name, s.module, s.op, s.shape
ORDER BY bytes DESC;

-- Of folded steps only the one that began with the most matters for each pattern.
CREATE VIEW v_phase_peak AS
WITH highest AS (
	SELECT coalesce(s.same_as, s.id) AS pattern, k.device AS device,
	       max(k.start_allocated) AS start
	FROM step s JOIN step_device k ON k.step = s.id GROUP BY 1, 2)
SELECT d.name AS device, p.name AS phase,
       max(sp.peak_allocated + h.start - q.start_allocated) AS allocated_bytes
FROM highest h JOIN step_device q ON q.step = h.pattern AND q.device = h.device
JOIN step_phase sp ON sp.step = h.pattern AND sp.device = h.device
JOIN device d ON d.id = h.device JOIN phase p ON p.id = sp.phase
GROUP BY d.name, p.name;

-- step_bucket with folded steps told in full, zeros left out.
CREATE VIEW v_step_bucket AS
SELECT d.name AS device, s.id AS step, p.name AS phase, b.name AS bucket,
       coalesce(q.bytes, 0) + coalesce(mine.bytes, first.bytes, 0) -
       coalesce(first.bytes, 0) AS bytes
FROM step s JOIN step_phase sp ON sp.step = coalesce(s.same_as, s.id)
JOIN bucket b ON b.id < 9
LEFT JOIN step_bucket q ON q.step = sp.step AND q.device = sp.device
	AND q.bucket = b.id AND q.phase = sp.phase
LEFT JOIN step_bucket first ON first.step = sp.step AND first.device = sp.device
	AND first.bucket = b.id AND first.phase = -1
LEFT JOIN step_bucket mine ON s.same_as NOTNULL AND mine.step = s.id
	AND mine.device = sp.device AND mine.bucket = b.id AND mine.phase = -1
JOIN device d ON d.id = sp.device JOIN phase p ON p.id = sp.phase
WHERE coalesce(q.bytes, 0) + coalesce(mine.bytes, first.bytes, 0) -
      coalesce(first.bytes, 0) > 0;

CREATE VIEW v_oom AS
SELECT d.name AS device, o.step AS step, p.name AS phase, o.time_ns AS time_ns,
       o.requested_bytes, o.allocated_bytes, o.reserved_bytes, o.device_free_bytes,
       o.device_total_bytes, o.source, o.message
FROM oom o JOIN device d ON d.id = o.device LEFT JOIN site s ON s.id = o.site
LEFT JOIN phase p ON p.id = s.phase;
