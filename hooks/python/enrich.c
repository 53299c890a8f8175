/* enrich.c - running the embedded script on Python's main thread.
 * Called from: prepare.c (any thread) and, by way of the pending call, the interpreter. The
 * script's exceptions end in it; the interpreter's error indicator is kept and restored. */
#include "enrich.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "emit.h"
#include "pycode.h"
#include "record.h"
#include "session.h"
#include "settings.h"

bool (*tmk_enrich_may_read_gradients)(void);
void (*tmk_enrich_quiet)(bool on);

__asm__(".section .rodata\n"
        "tmk_enrich_py: .incbin \"" TMK_ENRICH_FILE "\"\n"
        ".byte 0\n"
        ".previous\n");
__asm__(".section .rodata\n"
        "tmk_ended_py: .incbin \"" TMK_ENDED_FILE "\"\n"
        ".byte 0\n"
        ".previous\n");
extern const char tmk_enrich_py[], tmk_ended_py[];

/* The interpreter's C API, as far as it is used; all of it stable since 3.2. */
struct method {
	const char *name;
	void *(*call)(void *, void *);
	int flags;
	const char *doc;
};
enum { METH_VARARGS = 1, FILE_INPUT = 257 };

static struct {
	int (*AddPendingCall)(int (*)(void *), void *);
	void *(*Dict_New)(void);
	int (*Dict_SetItemString)(void *, const char *, void *);
	void *(*GetBuiltins)(void);
	void *(*GetModuleDict)(void);
	void *(*Dict_GetItemString)(void *, const char *);
	void *(*Run_String)(const char *, int, void *, void *);
	void *(*CFunction)(struct method *, void *, void *);
	void *(*Bool)(long);
	int (*ParseTuple)(void *, const char *, ...);
	void (*Err_Fetch)(void **, void **, void **);
	void (*Err_Restore)(void *, void *, void *);
	void (*Err_Clear)(void);
	void (*IncRef)(void *);
	void (*DecRef)(void *);
	void *(*GetAttrString)(void *, const char *);
	void *(*Type)(void *);
	int (*IsSubtype)(void *, void *);
	void *(*List_New)(ptrdiff_t);
	int (*List_Append)(void *, void *);
	ptrdiff_t (*List_Size)(void *);
	void *(*List_GetItem)(void *, ptrdiff_t);
	void *(*Import)(const char *);
	void *(*CallMethod)(void *, const char *, const char *, ...);
	void *None;
} py;

/* From 3.12 on; calls back for every object that the collector knows. */
static void (*visit_objects)(int (*)(void *, void *), void *);

static const struct {
	void **to;
	const char *name;
} names[] = {
        {(void **)&py.AddPendingCall, "Py_AddPendingCall"},
        {(void **)&py.Dict_New, "PyDict_New"},
        {(void **)&py.Dict_SetItemString, "PyDict_SetItemString"},
        {(void **)&py.GetBuiltins, "PyEval_GetBuiltins"},
        {(void **)&py.GetModuleDict, "PyImport_GetModuleDict"},
        {(void **)&py.Dict_GetItemString, "PyDict_GetItemString"},
        {(void **)&py.Run_String, "PyRun_String"},
        {(void **)&py.CFunction, "PyCFunction_NewEx"},
        {(void **)&py.Bool, "PyBool_FromLong"},
        {(void **)&py.ParseTuple, "PyArg_ParseTuple"},
        {(void **)&py.Err_Fetch, "PyErr_Fetch"},
        {(void **)&py.Err_Restore, "PyErr_Restore"},
        {(void **)&py.Err_Clear, "PyErr_Clear"},
        {(void **)&py.IncRef, "Py_IncRef"},
        {(void **)&py.DecRef, "Py_DecRef"},
        {(void **)&py.GetAttrString, "PyObject_GetAttrString"},
        {(void **)&py.Type, "PyObject_Type"},
        {(void **)&py.IsSubtype, "PyType_IsSubtype"},
        {(void **)&py.List_New, "PyList_New"},
        {(void **)&py.List_Append, "PyList_Append"},
        {(void **)&py.List_Size, "PyList_Size"},
        {(void **)&py.List_GetItem, "PyList_GetItem"},
        {(void **)&py.Import, "PyImport_ImportModule"},
        {(void **)&py.CallMethod, "PyObject_CallMethod"},
        {(void **)&py.None, "_Py_NoneStruct"},
};

static atomic_bool usable, waiting, search_wanted;
static void *known; /* the script's memory: a Python dict as old as the process */

void tmk_enrich_prepare(void)
{
	if (tmk_settings.want_enrich == TMK_ENRICH_NEVER)
		return;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!(*names[i].to = dlsym(RTLD_DEFAULT, names[i].name)))
			return;
	*(void **)&visit_objects = dlsym(RTLD_DEFAULT, "PyUnstable_GC_VisitObjects");
	atomic_store(&usable, true);
}

static void *none(void)
{
	py.IncRef(py.None);
	return py.None;
}

static void *emit_tensor(void *self, void *args)
{
	(void)self;
	int kind, type, index, trainable;
	const char *name, *shape, *dtype;
	unsigned long long address;
	long long bytes;
	if (!py.ParseTuple(args, "isKLiiiss", &kind, &name, &address, &bytes, &type,
	                   &index, &trainable, &shape, &dtype))
		return NULL;
	size_t a = strlen(name) + 1, b = strlen(shape) + 1, c = strlen(dtype) + 1;
	if (!tmk_is_active() || !tmk_enter())
		return none();
	struct tmk_rec_tensor *r =
	        tmk_fits_ring(sizeof(*r) + a + b + c)
	                ? tmk_begin(TMK_REC_TENSOR, (uint8_t)kind,
	                            (uint32_t)(sizeof(*r) + a + b + c))
	                : NULL;
	if (r) {
		r->ptr = address;
		r->bytes = bytes;
		r->device = (struct tmk_device_id){(int8_t)type, (int8_t)index};
		r->trainable = (uint8_t)trainable;
		memcpy(r->text, name, a);
		memcpy(r->text + a, shape, b);
		memcpy(r->text + a + b, dtype, c);
		tmk_end(r);
	}
	tmk_leave();
	return none();
}

static void *emit_module(void *self, void *args)
{
	(void)self;
	unsigned long long address;
	const char *name;
	if (!py.ParseTuple(args, "Ks", &address, &name))
		return NULL;
	if (tmk_is_active() && tmk_enter()) {
		tmk_emit_text(TMK_REC_MODNAME, 0, 0, address, 1, &name);
		tmk_leave();
	}
	return none();
}

static void *emit_run(void *self, void *args)
{
	(void)self;
	const char *column, *value;
	if (!py.ParseTuple(args, "ss", &column, &value))
		return NULL;
	if (!tmk_settings.redact && tmk_is_active() && tmk_enter()) {
		tmk_emit_run(column, value);
		tmk_leave();
	}
	return none();
}

static void *emit_meta(void *self, void *args)
{
	(void)self;
	const char *key, *value;
	if (!py.ParseTuple(args, "ss", &key, &value))
		return NULL;
	if (tmk_is_active() && tmk_enter()) {
		tmk_emit_meta(key, value);
		tmk_leave();
	}
	return none();
}

/* ---- reading without harm ------------------------------------------------------------- */

struct instances {
	void *class, *found; /* found: a list */
};

static int keep_instance(void *object, void *context)
{
	struct instances *s = context;
	void *type = py.Type(object);
	if (py.IsSubtype(type, s->class))
		py.List_Append(s->found, object);
	py.DecRef(type);
	return 1;
}

/* Before 3.12 the list of all objects holds on to each of them. It is gone again before
 * any other thread has run: one that is filling a tuple would find it shared, and fail. */
static void visit_list(struct instances *s)
{
	void *gc = py.Import("gc");
	void *all = gc ? py.CallMethod(gc, "get_objects", NULL) : NULL;
	ptrdiff_t n = all ? py.List_Size(all) : 0;
	for (ptrdiff_t i = 0; i < n; i++)
		keep_instance(py.List_GetItem(all, i), s);
	if (all)
		py.DecRef(all);
	if (gc)
		py.DecRef(gc);
}

/* instances(class): a list of all objects of the class or one derived from it. */
static void *instances(void *self, void *args)
{
	(void)self;
	struct instances s;
	if (!py.ParseTuple(args, "O", &s.class) || !(s.found = py.List_New(0)))
		return NULL;
	if (visit_objects)
		visit_objects(keep_instance, &s);
	else
		visit_list(&s);
	return s.found;
}

/* gradient(parameter): its .grad, or None while that must not be touched. The engine sets
 * gradients without the GIL, and a Python object made of one at that moment loses a
 * reference [seen: the process died, torch 2.13]. Where the main thread alone trains, it
 * cannot be in here meanwhile. */
static void *gradient(void *self, void *args)
{
	(void)self;
	void *parameter;
	if (!py.ParseTuple(args, "O", &parameter))
		return NULL;
	if (!tmk_enrich_may_read_gradients())
		return none();
	return py.GetAttrString(parameter, "grad");
}

static struct method methods[] = {
        {"emit_tensor", emit_tensor, METH_VARARGS, NULL},
        {"emit_module", emit_module, METH_VARARGS, NULL},
        {"emit_run", emit_run, METH_VARARGS, NULL},
        {"instances", instances, METH_VARARGS, NULL},
        {"gradient", gradient, METH_VARARGS, NULL},
};

static void set_bool(void *scope, const char *name, bool value)
{
	void *object = py.Bool(value);
	py.Dict_SetItemString(scope, name, object);
	py.DecRef(object);
}

static void run_script(void)
{
	void *scope = py.Dict_New();
	if (!known)
		known = py.Dict_New();
	if (!scope || !known)
		return;
	py.Dict_SetItemString(scope, "__builtins__", py.GetBuiltins());
	py.Dict_SetItemString(scope, "known", known);
	set_bool(scope, "each_step", tmk_settings.want_enrich == TMK_ENRICH_EACH);
	set_bool(scope, "wanted", atomic_exchange(&search_wanted, false));
	for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++) {
		void *f = py.CFunction(&methods[i], NULL, NULL);
		if (!f)
			continue;
		py.Dict_SetItemString(scope, methods[i].name, f);
		py.DecRef(f);
	}
	void *result = py.Run_String(tmk_enrich_py, FILE_INPUT, scope, scope);
	if (result)
		py.DecRef(result);
	else
		py.Err_Clear();
	py.DecRef(scope);
}

static int pending(void *arg)
{
	(void)arg;
	void *type, *value, *trace;
	atomic_store(&waiting, false);
	if (!tmk_is_active() || !py.Dict_GetItemString(py.GetModuleDict(), "torch.nn"))
		return 0;
	tmk_pycode_watch();
	py.Err_Fetch(&type, &value, &trace);
	tmk_enrich_quiet(true);
	run_script();
	tmk_enrich_quiet(false);
	py.Err_Restore(type, value, trace);
	return 0;
}

/* Once a process: Python's own list of what to call at its end has it from then on. */
static int watch_end(void *arg)
{
	static struct method tell = {"emit_meta", emit_meta, METH_VARARGS, NULL};
	(void)arg;
	void *type, *value, *trace;
	py.Err_Fetch(&type, &value, &trace);
	void *scope = py.Dict_New(), *emit = py.CFunction(&tell, NULL, NULL);
	if (scope && emit) {
		py.Dict_SetItemString(scope, "__builtins__", py.GetBuiltins());
		py.Dict_SetItemString(scope, "emit_meta", emit);
		void *result = py.Run_String(tmk_ended_py, FILE_INPUT, scope, scope);
		if (result)
			py.DecRef(result);
	}
	py.Err_Clear();
	if (emit)
		py.DecRef(emit);
	if (scope)
		py.DecRef(scope);
	py.Err_Restore(type, value, trace);
	return 0;
}

void tmk_enrich_watch_end(void)
{
	static atomic_bool asked;
	if (atomic_load(&usable) && !atomic_exchange(&asked, true) &&
	    py.AddPendingCall(watch_end, NULL))
		atomic_store(&asked, false);
}

void tmk_enrich_ask(void)
{
	if (atomic_load(&usable) && !atomic_exchange(&waiting, true) &&
	    py.AddPendingCall(pending, NULL))
		atomic_store(&waiting, false); /* its queue is full: next time */
}

/* What is on its way may be the parent's word alone, and what the script remembers to have told
 * is in the parent's trace. Its dictionary is left: only Python may give it back. */
void tmk_enrich_forked(void)
{
	atomic_store(&waiting, false);
	atomic_store(&search_wanted, false);
	known = NULL;
}

void tmk_enrich_search(void)
{
	atomic_store(&search_wanted, true);
	tmk_enrich_ask();
}
