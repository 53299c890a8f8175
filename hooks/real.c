/* real.c - finding the functions of hooks.def in this process.
 * Called from: the loader (each object's _init), prepare.c, and a stub at its first call; any
 * thread. Owns: tmk_real, tmk_found. */
#include "real.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "caller.h"
#include "emit.h"
#include "hot.h"
#include "object.h"
#include "provider.h"

TMK_HOT_DATA struct tmk_real tmk_real = {
#define HOOK(field, library, need, result, arguments, symbol) .field = tmk_stub_##field,
#define REAL(field, library, need, result, arguments, symbol)
#define HOOK_TOO REAL
#define REAL_TOO REAL
#include "hooks.def"
#undef HOOK
#undef REAL
#undef HOOK_TOO
#undef REAL_TOO
};
TMK_HOT_DATA struct tmk_found tmk_found;
TMK_HOT_DATA _Atomic bool tmk_engine_found;
void (*tmk_on_torch_call)(void);

/* ---- one row a field ------------------------------------------------------------------- */

/* What a function that is nowhere answers. */
static tmk_cuda_error absent_runtime(void)
{
	return 999; /* cudaErrorUnknown */
}

static tmk_cuda_error absent_driver(void)
{
	return 500; /* CUDA_ERROR_NOT_FOUND */
}

static tmk_cuda_error absent_nccl(void)
{
	return 3; /* ncclInternalError */
}

static uint64_t absent_zero(void) /* also false, NULL, and nothing */
{
	return 0;
}

static void *absent_vector(struct tmk_vector *result) /* an empty one */
{
	memset(result, 0, sizeof(*result));
	return result;
}

enum answer { ZERO, VECTOR, ERROR };
/* By the type of the result: a new row has its answer. */
#define ANSWER(result)                                                                 \
	_Generic((result(*)(void))0, struct tmk_vector(*)(void)                        \
	         : VECTOR, tmk_cuda_error(*)(void)                                     \
	         : ERROR, default                                                      \
	         : ZERO)

static const struct field {
	uint8_t library, answer;
	_Atomic(void *) *real; /* in tmk_real */
	_Atomic bool *found;
	void *stub; /* NULL: only called */
} fields[TMK_FIELDS] = {
#define SLOT(field) (_Atomic(void *) *)(void *)&tmk_real.field, &tmk_found.field
#define HOOK(field, library, need, result, arguments, symbol)                          \
	[TMK_FIELD_##field] = {TMK_LIB_##library, ANSWER(result), SLOT(field),         \
	                       (void *)tmk_stub_##field},
#define REAL(field, library, need, result, arguments, symbol)                          \
	[TMK_FIELD_##field] = {TMK_LIB_##library, ANSWER(result), SLOT(field), NULL},
#define HOOK_TOO(field, library, need, result, arguments, symbol)
#define REAL_TOO HOOK_TOO
#include "hooks.def"
#undef HOOK
#undef REAL
#undef HOOK_TOO
#undef REAL_TOO
};

static void *absent(const struct field *f)
{
	if (f->answer == VECTOR)
		return (void *)absent_vector;
	if (f->answer != ERROR)
		return (void *)absent_zero;
	return f->library == TMK_LIB_CUDA   ? (void *)absent_driver
	       : f->library == TMK_LIB_NCCL ? (void *)absent_nccl
	                                    : (void *)absent_runtime;
}

void tmk_ends_unresolved(const char *symbol)
{
	enum { LOADERS_STATUS = 127 };
	dprintf(STDERR_FILENO,
	        "%s: symbol lookup error: no library here has it: undefined symbol: "
	        "%s\n",
	        program_invocation_name, symbol);
	syscall(SYS_exit_group, LOADERS_STATUS);
	__builtin_unreachable();
}

/* ---- publishing ------------------------------------------------------------------------ */

/* Where each field was found; NULL: nowhere, or `several`: the caller decides. */
static _Atomic(void *) known[TMK_FIELDS];
static atomic_bool several[TMK_FIELDS];
static atomic_bool published; /* torch's may be called without a stub */
static atomic_int looking;    /* threads between a look and its answer */

/* Their first call is when to prepare: prepare.c. */
static bool is_torchs(const struct field *f)
{
	return f->library <= TMK_LIB_CPU;
}

/* Called under the caching allocator's lock: there nothing is prepared. */
static bool under_lock(unsigned field)
{
	return field == TMK_FIELD_report || field == TMK_FIELD_out_of_memory ||
	       field == TMK_FIELD_error;
}

/* With two copies of a library these could be asked of the wrong one: about its tensors, or
 * where asking makes a context on a device. Not having them is provided for. */
static bool for_one_copy_only(unsigned field)
{
	return field == TMK_FIELD_data_ptr || field == TMK_FIELD_cudaMemGetInfo ||
	       field == TMK_FIELD_cudaDeviceGetMemPool ||
	       field == TMK_FIELD_cudaMemPoolGetAttribute;
}

static void publish(unsigned field)
{
	const struct field *f = &fields[field];
	void *p = atomic_load(&known[field]);
	const bool two = atomic_load(&several[field]);
	if (f->stub && (!p || two || (is_torchs(f) && !atomic_load(&published))))
		p = f->stub;
	else if (!f->stub && two && for_one_copy_only(field))
		p = NULL;
	atomic_store(f->real, p);
	/* Another thread's look may have come between: its word is the later one. */
	if (f->stub && !two && atomic_load(&several[field]))
		atomic_store(f->real, f->stub);
}

void tmk_resolved_publish(void)
{
	atomic_store(&published, true);
	for (unsigned i = 0; i < TMK_FIELDS; i++)
		publish(i);
}

/* ---- looking --------------------------------------------------------------------------- */

/* A second definition is for good: a library of torch's is never unloaded, and a caller of
 * the one must not get to the other for a moment. Whoever is between a look and its answer
 * has not seen it and may be about to overwrite what is said here. */
static void choose_by_caller(unsigned field)
{
	atomic_store(&several[field], true);
	publish(field);
	for (int i = 0; atomic_load(&looking) > 1 && i < 1000; i++)
		usleep(10);
	publish(field);
}

static void note_found(unsigned field)
{
	const bool one = atomic_load(&known[field]), two = atomic_load(&several[field]);
	atomic_store(fields[field].found,
	             fields[field].stub ? one || two : one && !two);
}

/* by_loader: dlsym may be asked, no lock is held. */
static void assign(const struct tmk_providers *found, bool by_loader)
{
	for (unsigned i = 0; i < TMK_FIELDS; i++) {
		const struct tmk_provider *p = &found->of[i];
		if (!p->wanted)
			continue;
		void *one = p->count == 1 ? p->first : NULL;
		if (!one && by_loader)
			one = tmk_provider_global(i);
		bool ambiguous = p->count > 1 && !one;
		if (ambiguous && !fields[i].stub)
			one = p->first;
		ambiguous = ambiguous && (fields[i].stub || for_one_copy_only(i));
		atomic_store(&known[i], one);
		if (ambiguous)
			choose_by_caller(i);
		else
			publish(i);
		note_found(i);
	}
	atomic_store(&tmk_engine_found, TMK_FOUND(execute) && TMK_FOUND(evaluate));
}

void tmk_real_forked(void)
{
	atomic_store(&looking, 0);
	for (unsigned i = 0; i < TMK_FIELDS; i++) {
		publish(i);
		note_found(i);
	}
	atomic_store(&tmk_engine_found, TMK_FOUND(execute) && TMK_FOUND(evaluate));
}

bool tmk_field_found(unsigned field)
{
	return atomic_load(fields[field].found);
}

bool tmk_field_several(unsigned field)
{
	return atomic_load(&several[field]);
}

bool tmk_resolve(enum tmk_library library)
{
	struct tmk_providers p = {0};
	bool found = false;
	for (unsigned i = 0; i < TMK_FIELDS; i++)
		p.of[i].wanted = fields[i].library == library &&
		                 !atomic_load(&known[i]) && !atomic_load(&several[i]);
	atomic_fetch_add(&looking, 1);
	tmk_providers_find(&p);
	assign(&p, true);
	atomic_fetch_sub(&looking, 1);
	for (unsigned i = 0; i < TMK_FIELDS; i++)
		found |= fields[i].library == library && atomic_load(fields[i].found);
	return found;
}

static void resolve_field(unsigned field)
{
	struct tmk_providers p = {0};
	p.of[field].wanted = true;
	atomic_fetch_add(&looking, 1);
	tmk_providers_find(&p);
	assign(&p, !under_lock(field));
	atomic_fetch_sub(&looking, 1);
}

void *tmk_stub_target(unsigned field, const struct tmk_frame *frame)
{
	const int saved = errno;
	const struct field *f = &fields[field];
	if (is_torchs(f) && !under_lock(field) && tmk_on_torch_call)
		tmk_on_torch_call();
	if (!atomic_load(&known[field]) && !atomic_load(&several[field]))
		resolve_field(field);
	void *target = atomic_load(&several[field])
	                       ? tmk_caller_function(field, tmk_provider_symbols(field),
	                                             tmk_caller(frame))
	                       : atomic_load(&known[field]);
	errno = saved;
	return target ? target : absent(f);
}

/* ---- being told of what is loaded ------------------------------------------------------- */

/* Every object's _init calls this before anything else of the object runs, where anybody
 * defines it; gprof does. The loader has put all of the objects that it is loading into its
 * list by then. So a function is known before its first caller can run, and a second one
 * before its first caller can be mistaken for the first one's. */
TMK_EXPORT void __gmon_start__(void);

void __gmon_start__(void)
{
	const int saved = errno;
	struct tmk_providers p = {0};
	static atomic_bool any_several;
	atomic_fetch_add(&looking, 1);
	if (tmk_provider_is(__builtin_return_address(0), &p)) {
		tmk_providers_find(&p);
		assign(&p, true);
	}
	atomic_fetch_sub(&looking, 1);
	for (unsigned i = 0; i < TMK_FIELDS && !atomic_load(&any_several); i++)
		if (atomic_load(&several[i]))
			atomic_store(&any_several, true);
	if (atomic_load(&any_several))
		tmk_caller_forget();
	errno = saved;
}
