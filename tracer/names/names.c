/* names.c - definitions become rows. Called from: model.c, on the writer thread.
 * Owns: the maps from ring numbers to rows; all memory is the heap's. */
#include "names.h"

#include <stdio.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "elfsym.h"
#include "frame.h"
#include "grow.h"
#include "ids.h"
#include "intern.h"
#include "opname.h"
#include "settings.h"
#include "tables.h"

struct tmk_names {
	struct tmk_store *store;
	struct tmk_objects *objects;
	struct tmk_column frame_flags;            /* by Python frame */
	struct tmk_column leaf[2], leaf_flags[2]; /* by stack: [0] Python, [1] native */
	struct tmk_column native_op;              /* by native stack */
	struct tmk_column native_flags, frame_op; /* by native frame */
	struct tmk_column op_is_factory;          /* by operator of ours */
	struct tmk_column scope_bucket;           /* by scope: see names.h */
	struct tmk_map trie, native, sites, ops;
	struct tmk_map module_name; /* by address: index into name + 1 */
	char **name;
	uint32_t names, name_capacity, names_lost;
	uint32_t next_stack, next_native, next_site, next_op;
	uint64_t *lost; /* the model's count of what there was no memory for */
	bool recovered;
};

/* Rows of frame: Python's even, native odd; rows of op: torch's node names even, our
 * reading of native stacks odd. So a number from a ring is its row without a map. */
enum { ROW_PYTHON = 0, ROW_NATIVE = 1 };
/* carry holds the leaf and flags of stacks for recovery, under these keys */
enum { CARRY_PYTHON = 1, CARRY_NATIVE = 2 };

/* ---- tables that may find no memory: what they then do not keep is counted ------------- */

static void set(struct tmk_names *n, struct tmk_column *c, uint32_t i, uint32_t value)
{
	*n->lost += !tmk_column_set(c, i, value);
}

static uint32_t *at(struct tmk_names *n, struct tmk_map *m, uint64_t key)
{
	uint32_t *value = tmk_map_at(m, key);
	*n->lost += !value;
	return value;
}

/* ---- frames, stacks, operators --------------------------------------------------------- */

static const char *shown(const char *file)
{
	const char *slash = strrchr(file, '/');
	return tmk_settings.redact && slash ? slash + 1 : file;
}

void tmk_names_pyframe(struct tmk_names *n, const struct tmk_rec_pyframe *r)
{
	const char *function = r->text, *file = r->text + strlen(r->text) + 1;
	set(n, &n->frame_flags, r->id, tmk_frame_python(function, file));
	tmk_store_run(n->store, TMK_SQL_frame, (int64_t)r->id * 2 + ROW_PYTHON,
	              "python", function, shown(file), (int64_t)r->line,
	              (int64_t)TMK_NULL);
}

static uint32_t *op_slot(struct tmk_names *n, const char *name)
{
	uint64_t h = 0;
	for (const char *p = name; *p; p++)
		h = tmk_mix(h, (unsigned char)*p);
	return at(n, &n->ops, h);
}

static uint32_t op_row(struct tmk_names *n, const char *name)
{
	uint32_t *id = op_slot(n, name);
	if (!id)
		return 0;
	if (!*id) {
		*id = ++n->next_op;
		set(n, &n->op_is_factory, *id, tmk_operator_is_factory(name));
		tmk_store_run(n->store, TMK_SQL_op, (int64_t)*id * 2 + 1, name);
	}
	return *id * 2 + 1;
}

/* Libraries come while the program runs: an address that no known object holds asks for a
 * look at the loader's list. What is found is kept for recovery, when the process and its
 * list are gone. */
static void learn_objects(struct tmk_names *n, uint64_t pc)
{
	size_t before = tmk_objects_count(n->objects);
	if (n->recovered || tmk_objects_find(n->objects, pc))
		return;
	*n->lost += tmk_objects_scan(n->objects) == -ENOMEM;
	for (size_t i = before; i < tmk_objects_count(n->objects); i++) {
		const struct tmk_object *o = tmk_objects_at(n->objects, i);
		char key[64], value[4200];
		snprintf(key, sizeof(key), "recover.object.%zu", i);
		snprintf(value, sizeof(value), "%llx %llx %llx %s",
		         (unsigned long long)o->base, (unsigned long long)o->start,
		         (unsigned long long)o->end, o->path);
		tmk_store_run(n->store, TMK_SQL_meta, key, value);
	}
}

static void reload_object(struct tmk_row *row, void *context)
{
	struct tmk_names *n = context;
	unsigned long long base, start, end;
	int used = 0;
	const char *text = tmk_row_text(row, 0);
	if (text && sscanf(text, "%llx %llx %llx %n", &base, &start, &end, &used) == 3)
		*n->lost +=
		        tmk_objects_add(n->objects, base, start, end, text + used) != 0;
}

/* A native frame met for the first time: its row, and what its symbol tells. */
static void new_native_frame(struct tmk_names *n, uint64_t pc, uint32_t id)
{
	char mangled[8192] = "", name[8192] = "", op[256];
	uint64_t inside = 0;
	const struct tmk_object *object = NULL;
	learn_objects(n, pc);
	/* a return address points behind its call */
	int rc = tmk_objects_name(n->objects, pc - 1, &object, mangled, sizeof(mangled),
	                          &inside);
	*n->lost += rc == -ENOMEM;
	if (!rc)
		tmk_demangle(mangled, name, sizeof(name), n->recovered);
	set(n, &n->native_flags, id, tmk_frame_native(name));
	if (tmk_operator_name(name, op, sizeof(op)))
		set(n, &n->frame_op, id, op_row(n, op));
	tmk_store_run(n->store, TMK_SQL_frame, (int64_t)id * 2 + ROW_NATIVE, "native",
	              *name ? name : NULL, object ? shown(object->path) : NULL,
	              TMK_NULL, object ? (int64_t)(pc - object->base) : (int64_t)pc);
}

static uint32_t native_frame(struct tmk_names *n, uint64_t pc)
{
	uint32_t *row = at(n, &n->native, pc);
	if (!row)
		return 0;
	if (!*row) {
		uint32_t id = *row = ++n->next_native;
		new_native_frame(n, pc, id);
		return id;
	}
	return *row;
}

static uint32_t trie_node(struct tmk_names *n, uint32_t parent, uint32_t frame)
{
	uint32_t *node = at(n, &n->trie, (uint64_t)parent << 32 | frame);
	if (!node)
		return 0;
	if (!*node) {
		*node = ++n->next_stack;
		tmk_store_run(n->store, TMK_SQL_stack, (int64_t)*node,
		              parent ? (int64_t)parent : TMK_NULL, (int64_t)frame);
	}
	return *node;
}

void tmk_names_stack(struct tmk_names *n, const struct tmk_rec_stack *r)
{
	int kind = r->head.kind == TMK_REC_CSTACK;
	uint32_t flags = 0, node = 0, op = 0;
	for (uint32_t i = r->depth;
	     i-- > 0;) { /* outermost first: parents before children */
		uint32_t frame;
		if (kind) {
			uint32_t id = native_frame(n, r->frame[i]);
			frame = id * 2 + ROW_NATIVE;
			flags |= tmk_column_get(&n->native_flags, id);
			/* The innermost operator wins, but for those that only make room:
			 * who asked them is the one to name. */
			uint32_t here = tmk_column_get(&n->frame_op, id);
			if (here &&
			    (!op || !tmk_column_get(&n->op_is_factory, here / 2)))
				op = here;
		} else {
			frame = (uint32_t)r->frame[i] * 2 + ROW_PYTHON;
			flags |= tmk_column_get(&n->frame_flags, (uint32_t)r->frame[i]);
		}
		node = trie_node(n, node, frame);
	}
	set(n, &n->leaf[kind], r->id, node);
	set(n, &n->leaf_flags[kind], r->id, flags);
	if (kind)
		set(n, &n->native_op, r->id, op);
	uint32_t saved[3] = {node, flags, op};
	tmk_store_run(n->store, TMK_SQL_carry,
	              (int64_t)(kind ? CARRY_NATIVE : CARRY_PYTHON) << 40 | r->id,
	              (const void *)saved, sizeof(saved));
}

void tmk_names_shape(struct tmk_names *n, const struct tmk_rec_shape *r)
{
	static const char *const dtypes[] = {
#define DTYPE(number, name, bytes) [number] = #name,
#include "dtypes.def"
#undef DTYPE
	};
	char dims[TMK_MAX_DIMS * 22 + 8] = "[";
	size_t used = 1;
	int count = r->dims < TMK_MAX_DIMS ? r->dims : TMK_MAX_DIMS;
	for (int i = 0; i < count; i++)
		used += snprintf(dims + used, sizeof(dims) - used, "%s%lld",
		                 i ? ", " : "", (long long)r->size[i]);
	snprintf(dims + used, sizeof(dims) - used,
	         r->dims > TMK_MAX_DIMS ? ", ...]" : "]");
	bool known =
	        r->dtype >= 0 && (size_t)r->dtype < sizeof(dtypes) / sizeof(*dtypes);
	char other[32];
	snprintf(other, sizeof(other), "unknown dtype %d", r->dtype);
	tmk_store_run(n->store, TMK_SQL_shape, (int64_t)r->id, dims,
	              known ? dtypes[(int)r->dtype] : other);
}

/* A name may come before the module is met, and the other way round. */
static void keep_name(struct tmk_names *n, uint64_t address, const char *name)
{
	uint32_t *place = tmk_map_at(&n->module_name, address);
	char *copy = strdup(name);
	if (!place || !copy ||
	    !tmk_grow((void **)&n->name, &n->name_capacity, n->names,
	              sizeof(*n->name))) {
		free(copy);
		tmk_store_run(n->store, TMK_SQL_lost, "module_names",
		              (int64_t)++n->names_lost,
		              "names of modules that there was no memory for");
		return;
	}
	n->name[n->names++] = copy;
	*place = n->names;
	tmk_store_run(n->store, TMK_SQL_module_name, name, (int64_t)address);
}

/* 1 + the bucket of this name inside what PyTorch allocates, or 0. */
static uint32_t bucket_named(const char *name)
{
#define BUCKET(id, number, text) text,
	static const char *const buckets[] = {SCHEMA_BUCKETS(BUCKET)};
#undef BUCKET
	for (uint32_t i = 0; i < TMK_BUCKETS; i++)
		if (!strcmp(name, buckets[i]))
			return i + 1;
	return 0;
}

/* A bucket's scope says which bucket it is; a phase's leaves that to what is around it. */
static void know_scope(struct tmk_names *n, uint32_t id, uint32_t parent, bool bucket,
                       const char *name)
{
	set(n, &n->scope_bucket, id,
	    bucket ? bucket_named(name) : tmk_column_get(&n->scope_bucket, parent));
}

static void new_scope(struct tmk_names *n, const struct tmk_rec_text *r)
{
	bool bucket = r->address == TMK_SCOPE_BUCKET;
	tmk_store_run(n->store, TMK_SQL_scope, (int64_t)r->id,
	              r->extra ? (int64_t)r->extra : TMK_NULL,
	              bucket ? "bucket" : "phase", r->text);
	know_scope(n, r->id, r->extra, bucket, r->text);
}

void tmk_names_text(struct tmk_names *n, const struct tmk_rec_text *r)
{
	if (r->head.kind == TMK_REC_MODULE) {
		uint32_t *name = at(n, &n->module_name, r->address);
		tmk_store_run(n->store, TMK_SQL_module, (int64_t)r->id, r->text,
		              name && *name ? n->name[*name - 1] : NULL,
		              (int64_t)r->address);
	} else if (r->head.kind == TMK_REC_MODNAME) {
		keep_name(n, r->address, r->text);
	}
	if (r->head.kind == TMK_REC_OP)
		tmk_store_run(n->store, TMK_SQL_op, (int64_t)r->id * 2, r->text);
	if (r->head.kind == TMK_REC_SCOPE)
		new_scope(n, r);
}

uint32_t tmk_names_scope_bucket(const struct tmk_names *n, uint32_t scope)
{
	return tmk_column_get(&n->scope_bucket, scope);
}

int tmk_names_flags(const struct tmk_names *n, uint32_t python, uint32_t native)
{
	return (int)(tmk_column_get(&n->leaf_flags[0], python) |
	             tmk_column_get(&n->leaf_flags[1], native));
}

static int64_t or_null(uint32_t id)
{
	return id ? (int64_t)id : TMK_NULL;
}

uint32_t tmk_names_site(struct tmk_names *n, const struct tmk_site *s)
{
	/* Each by itself: mixed with one another, thread 2 in phase 0 is thread 3 in phase 1. */
	uint64_t h = tmk_mix(tmk_mix(1, s->phase), s->thread);
	h = tmk_mix(tmk_mix(h, s->python), s->native);
	h = tmk_mix(tmk_mix(tmk_mix(h, s->module), s->op), s->shape);
	h = tmk_mix(h, s->scope);
	uint32_t *id = at(n, &n->sites, h);
	if (!id)
		return 0;
	if (!*id) {
		uint32_t op = tmk_column_get(&n->native_op, s->native);
		*id = ++n->next_site;
		tmk_store_run(n->store, TMK_SQL_site, (int64_t)*id, (int64_t)s->phase,
		              or_null(s->thread),
		              or_null(tmk_column_get(&n->leaf[0], s->python)),
		              or_null(tmk_column_get(&n->leaf[1], s->native)),
		              or_null(s->module), or_null(op ? op : s->op * 2),
		              or_null(s->shape), or_null(s->scope));
	}
	return *id;
}

static void reload_stack(struct tmk_row *row, void *context)
{
	struct tmk_names *n = context;
	size_t size;
	int64_t key = tmk_row_int(row, 0);
	const uint32_t *saved = tmk_row_blob(row, 1, &size);
	int kind = (int)(key >> 40) - CARRY_PYTHON;
	if (kind < 0 || kind > 1 || size != 12)
		return;
	set(n, &n->leaf[kind], (uint32_t)key, saved[0]);
	set(n, &n->leaf_flags[kind], (uint32_t)key, saved[1]);
	if (kind)
		set(n, &n->native_op, (uint32_t)key, saved[2]);
}

static void reload_frame(struct tmk_row *row, void *context)
{
	struct tmk_names *n = context;
	const char *function = tmk_row_text(row, 1), *file = tmk_row_text(row, 2);
	if (function && file)
		set(n, &n->frame_flags, (uint32_t)tmk_row_int(row, 0) / 2,
		    tmk_frame_python(function, file));
}

static void reload_trie(struct tmk_row *row, void *context)
{
	struct tmk_names *n = context;
	int64_t parent = tmk_row_int(row, 1);
	uint32_t id = (uint32_t)tmk_row_int(row, 0);
	uint32_t *node = at(n, &n->trie,
	                    (uint64_t)(parent == TMK_NULL ? 0 : parent) << 32 |
	                            (uint32_t)tmk_row_int(row, 2));
	if (node)
		*node = id;
	if (id > n->next_stack)
		n->next_stack = id;
}

/* A name has one row: a second one would take the first from the sites that have it. */
static void reload_op(struct tmk_row *row, void *context)
{
	struct tmk_names *n = context;
	uint32_t id = (uint32_t)tmk_row_int(row, 0) / 2;
	const char *name = tmk_row_text(row, 1);
	uint32_t *slot = name ? op_slot(n, name) : NULL;
	if (!slot)
		return;
	*slot = id;
	set(n, &n->op_is_factory, id, tmk_operator_is_factory(name));
}

static void reload_scope(struct tmk_row *row, void *context)
{
	int64_t parent = tmk_row_int(row, 1);
	if (!tmk_row_text(row, 3))
		return;
	know_scope(context, (uint32_t)tmk_row_int(row, 0),
	           parent == TMK_NULL ? 0 : (uint32_t)parent, tmk_row_int(row, 2) == 1,
	           tmk_row_text(row, 3));
}

static void reload_next(struct tmk_row *row, void *context)
{
	struct tmk_names *n = context;
	for (int i = 0; i < 3; i++) {
		int64_t v = tmk_row_int(row, i);
		uint32_t last = v == TMK_NULL ? 0 : (uint32_t)v;
		if (i == 0)
			n->next_site = last;
		else if (i == 1)
			n->next_native = last / 2;
		else
			n->next_op = last / 2;
	}
}

struct tmk_names *tmk_names_new(struct tmk_store *store, bool recovered, uint64_t *lost)
{
	struct tmk_names *n = calloc(1, sizeof(*n));
	if (!n)
		return NULL;
	n->store = store;
	n->objects = tmk_objects_new();
	n->recovered = recovered;
	n->lost = lost;
	if (!n->objects) {
		tmk_names_free(n);
		return NULL;
	}
	if (recovered) {
		tmk_store_read(store, "SELECT id, data FROM carry WHERE id >= 1 << 40",
		               reload_stack, n);
		tmk_store_read(
		        store,
		        "SELECT id, function, file FROM frame WHERE kind = 'python'",
		        reload_frame, n);
		tmk_store_read(store, "SELECT id, parent, frame FROM stack",
		               reload_trie, n);
		tmk_store_read(
		        store,
		        "SELECT (SELECT max(id) FROM site), (SELECT max(id) FROM frame "
		        "WHERE kind = 'native'), (SELECT max(id) FROM op WHERE id % 2)",
		        reload_next, n);
		tmk_store_read(store, "SELECT id, name FROM op WHERE id % 2", reload_op,
		               n);
		tmk_store_read(store,
		               "SELECT id, parent, kind = 'bucket', name FROM scope "
		               "ORDER BY id",
		               reload_scope, n);
		tmk_store_read(
		        store,
		        "SELECT value FROM meta WHERE key LIKE 'recover.object.%'",
		        reload_object, n);
	}
	return n;
}

void tmk_names_free(struct tmk_names *n)
{
	if (!n)
		return;
	struct tmk_column *columns[] = {
	        &n->frame_flags,   &n->leaf[0],     &n->leaf[1],      &n->leaf_flags[0],
	        &n->leaf_flags[1], &n->native_op,   &n->native_flags, &n->frame_op,
	        &n->op_is_factory, &n->scope_bucket};
	for (size_t i = 0; i < sizeof(columns) / sizeof(*columns); i++)
		tmk_column_free(columns[i]);
	struct tmk_map *maps[] = {&n->trie, &n->native, &n->sites, &n->ops,
	                          &n->module_name};
	for (size_t i = 0; i < sizeof(maps) / sizeof(*maps); i++)
		tmk_map_free(maps[i]);
	for (uint32_t i = 0; i < n->names; i++)
		free(n->name[i]);
	free(n->name);
	tmk_objects_free(n->objects);
	free(n);
}
