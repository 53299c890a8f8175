/* stacks.c - walking and numbering. Called from: wrap_*.c. Owns nothing: the numbers are
 * intern.c's, the walkers' memory their own. */
#include "stacks.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "cstack.h"
#include "emit.h"
#include "hot.h"
#include "intern.h"
#include "node.h"
#include "op.h"
#include "doing.h"
#include "pystack.h"
#include "settings.h"
#include "shape.h"

static TMK_HOT_DATA atomic_bool python_on, native_on;

void tmk_stacks_init(void)
{
	char why[128];
	/* The Python walk is wanted without stacks too: it finds the module. */
	bool python = !tmk_pystack_init(why, sizeof(why));
	const bool wanted = tmk_settings.want_stacks & TMK_STACKS_PYTHON;
	if (!python)
		tmk_emit_capability("python_stacks", "missing", why);
	else
		tmk_emit_capability("python_stacks", wanted ? "live" : "off",
		                    wanted ? "" : "TIDEMARK_STACKS switches them off");
	atomic_store(&python_on, python && wanted);
	if (!(tmk_settings.want_stacks & TMK_STACKS_NATIVE)) {
		tmk_emit_capability("native_stacks", "off",
		                    "TIDEMARK_STACKS switches them off");
		return;
	}
	bool native = !tmk_cstack_init(why, sizeof(why));
	tmk_emit_capability("native_stacks", native ? "live" : "missing",
	                    native ? "" : why);
	atomic_store(&native_on, native);
}

/* ---- definitions --------------------------------------------------------------------- */

static TMK_COLD uint32_t frame_number(const struct tmk_py_frame *f)
{
	uint64_t hash = tmk_mix(f->key, (uint32_t)f->where);
	uint64_t check = tmk_mix(hash ^ 0x5bd1e995, f->key);
	uint32_t id = tmk_intern_find(TMK_TABLE_PYFRAME, hash, check);
	if (id || !(id = tmk_intern_new(TMK_TABLE_PYFRAME)))
		return id;
	char function[1024], file[4096];
	int line;
	tmk_pystack_text(f, function, sizeof(function), file, sizeof(file), &line);
	tmk_mark_cut(function, sizeof(function));
	tmk_mark_cut(file, sizeof(file));
	size_t a = strlen(function) + 1, b = strlen(file) + 1;
	struct tmk_rec_pyframe *r = tmk_begin(TMK_REC_PYFRAME, 0, sizeof(*r) + a + b);
	if (!r)
		return 0;
	r->id = id;
	r->line = line;
	memcpy(r->text, function, a);
	memcpy(r->text + a, file, b);
	tmk_end(r);
	tmk_intern_add(TMK_TABLE_PYFRAME, hash, check, id);
	return id;
}

static uint32_t define_python(const struct tmk_py_stack *s)
{
	uint32_t frames[TMK_PY_DEPTH];
	for (int i = 0; i < s->depth; i++)
		frames[i] = frame_number(&s->frame[i]);
	uint32_t id = tmk_intern_new(TMK_TABLE_PYSTACK);
	if (!id)
		return 0;
	struct tmk_rec_stack *r =
	        tmk_begin(TMK_REC_PYSTACK, 0, sizeof(*r) + (uint32_t)s->depth * 8);
	if (!r)
		return 0;
	r->id = id;
	r->depth = (uint32_t)s->depth;
	for (int i = 0; i < s->depth; i++)
		r->frame[i] = frames[i];
	tmk_end(r);
	tmk_intern_add(TMK_TABLE_PYSTACK, s->hash, s->check, id);
	return id;
}

static inline bool known(struct tmk_py_known *k)
{
	return tmk_pystack_known(
	        k, atomic_load_explicit(&tmk_generation, memory_order_relaxed));
}

/* A stack that its frames' addresses alone don't tell: its module, and its number where
 * that is wanted. */
static TMK_COLD void learn(struct tmk_py_known *k, bool number)
{
	struct tmk_py_stack s;
	if (!tmk_pystack_walk(&s))
		return;
	if (number)
		k->id = tmk_intern_find(TMK_TABLE_PYSTACK, s.hash, s.check);
	if (number && !k->id)
		k->id = define_python(&s);
	k->module = s.module;
	k->module_type = s.module_type;
	tmk_pystack_remember(k, &s, k->id);
}

static TMK_COLD uint32_t define_module(const void *module, uint64_t hash,
                                       uint64_t check)
{
	uint32_t id = tmk_intern_new(TMK_TABLE_MODULE);
	if (!id)
		return 0;
	char class[512];
	tmk_pystack_class(module, class, sizeof(class));
	tmk_mark_cut(class, sizeof(class));
	tmk_emit_text(TMK_REC_MODULE, id, 0, (uintptr_t)module, 1,
	              (const char *[]){class});
	tmk_intern_add(TMK_TABLE_MODULE, hash, check, id);
	return id;
}

static TMK_HOT uint32_t module_number(const void *module, const void *type)
{
	if (!module)
		return 0;
	/* Most often it is the one of last time. */
	struct tmk_doing *p = &tmk_doing;
	uint32_t generation =
	        atomic_load_explicit(&tmk_generation, memory_order_relaxed);
	if (p->module == module && p->module_type == type &&
	    p->module_generation == generation)
		return p->module_id;
	uint64_t hash = tmk_mix((uintptr_t)module, (uintptr_t)type);
	uint64_t check = tmk_mix((uintptr_t)type, hash);
	uint32_t id = tmk_intern_find(TMK_TABLE_MODULE, hash, check);
	if (__builtin_expect(!id, 0) && !(id = define_module(module, hash, check)))
		return 0;
	p->module = module;
	p->module_type = type;
	p->module_id = id;
	p->module_generation = generation;
	return id;
}

static TMK_COLD uint32_t define_native(struct tmk_c_stack *s)
{
	uint32_t id = tmk_intern_new(TMK_TABLE_CSTACK);
	if (!id)
		return 0;
	struct tmk_rec_stack *r =
	        tmk_begin(TMK_REC_CSTACK, 0, sizeof(*r) + (uint32_t)s->depth * 8);
	if (!r)
		return 0;
	r->id = id;
	r->depth = (uint32_t)s->depth;
	memcpy(r->frame, s->pc, (size_t)s->depth * 8);
	tmk_end(r);
	tmk_intern_add(TMK_TABLE_CSTACK, s->hash, s->check, id);
	return id;
}

/* ---- shapes -------------------------------------------------------------------------- */

static uint32_t dims_kept(const struct tmk_doing *p)
{
	return p->dims < TMK_MAX_DIMS ? p->dims : TMK_MAX_DIMS;
}

static TMK_COLD uint32_t define_shape(const struct tmk_doing *p, uint64_t hash,
                                      uint64_t check)
{
	uint32_t id = tmk_intern_new(TMK_TABLE_SHAPE);
	if (!id)
		return 0;
	struct tmk_rec_shape *r = tmk_begin(TMK_REC_SHAPE, 0, sizeof(*r));
	if (!r)
		return 0;
	r->id = id;
	r->dtype = p->dtype;
	r->dims = p->dims > 255 ? 255 : (uint8_t)p->dims;
	for (uint32_t i = 0; i < dims_kept(p); i++)
		r->size[i] = p->sizes[i];
	tmk_end(r);
	tmk_intern_add(TMK_TABLE_SHAPE, hash, check, id);
	return id;
}

static uint32_t shape_number(const struct tmk_doing *p)
{
	uint64_t hash = tmk_mix(p->dims, (uint8_t)p->dtype), check = 77;
	uint32_t kept = dims_kept(p);
	for (uint32_t i = 0; i < kept; i++) {
		hash = tmk_mix(hash, (uint64_t)p->sizes[i]);
		check = tmk_mix(check, hash + (uint64_t)p->sizes[i]);
	}
	uint32_t id = tmk_intern_find(TMK_TABLE_SHAPE, hash, check);
	return __builtin_expect(id, 1) ? id : define_shape(p, hash, check);
}

/* ---- together ------------------------------------------------------------------------ */

/* Told when it has grown: the row is written anew each time. */
static TMK_COLD void tell_left_out(void)
{
	static _Atomic uint64_t told;
	uint64_t n = atomic_load(&tmk_cstack_left_out);
	if (n && atomic_exchange(&told, n) != n)
		tmk_emit_lost("native_stacks", n,
		              "native stacks that were left out because another thread "
		              "was forking");
}

TMK_HOT void tmk_where_now(struct tmk_where *w, int64_t bytes)
{
	struct tmk_py_known k;
	struct tmk_doing *p = &tmk_doing;
	if (p->node)
		tmk_node_name(p);
	*w = (struct tmk_where){.requested = -1, .op = p->node_op};
	if (atomic_load_explicit(&python_on, memory_order_relaxed)) {
		if (!known(&k) || (!k.id && k.print))
			learn(&k, true);
		w->python = k.id;
		w->module = module_number(k.module, k.module_type);
	}
	/* On a device thread in backward there is no Python: the node knows its module. */
	if (!w->module)
		w->module = p->node_module;
	if (atomic_load_explicit(&native_on, memory_order_relaxed)) {
		struct tmk_c_stack *c = tmk_cstack_walk();
		if (c && !c->id) {
			c->id = tmk_intern_find(TMK_TABLE_CSTACK, c->hash, c->check);
			if (!c->id)
				c->id = define_native(c);
		}
		w->native = c ? c->id : 0;
		if (__builtin_expect(!c, 0))
			tell_left_out();
	}
	if (p->has_shape) {
		w->requested = tmk_shape_bytes(p);
		/* Not the tensor's own allocation, if it does not fit into it. */
		if (w->requested <= bytes)
			w->shape = shape_number(p);
		else
			w->requested = -1;
		p->has_shape = false;
	}
}

TMK_HOT uint32_t tmk_module_now(void)
{
	struct tmk_py_known k;
	if (!atomic_load_explicit(&python_on, memory_order_relaxed))
		return 0;
	if (!known(&k))
		learn(&k, false);
	return module_number(k.module, k.module_type);
}
