/* event.c - assembling events. Called from: wrap_c10.c, wrap_cuda.c, wrap_driver.c. */
#include "event.h"
#include "enrich.h"

#include <stdio.h>
#include <string.h>

#include "emit.h"
#include "hot.h"
#include "phase.h"
#include "real.h"
#include "scope.h"
#include "session.h"
#include "stacks.h"

/* What a forked child frees is its parent's: a data loader's workers do that when they collect
 * garbage. It is no reason to begin a trace, which would have nothing in it. */
static bool nothing_to_trace(bool gives_back)
{
	return gives_back &&
	       atomic_load_explicit(&tmk_state, memory_order_acquire) == TMK_IDLE;
}

TMK_HOT void tmk_event(void *ptr, int64_t bytes, size_t allocated, size_t reserved,
                       struct tmk_device_id device, uint8_t flags)
{
	if (!tmk_is_active() && (nothing_to_trace(bytes <= 0) || !tmk_session_ensure()))
		return;
	bool grad;
	struct tmk_where w;
	uint32_t scope = 0;
	uint8_t phase = tmk_phase_now(&grad);
	if (bytes > 0) { /* definitions first: they have records too */
		tmk_where_now(&w, bytes);
		scope = tmk_scope_now(phase);
	}
	struct tmk_rec_event *r =
	        bytes > 0 ? tmk_begin_often(TMK_REC_ALLOC, 0, sizeof(*r))
	                  : tmk_begin_often(TMK_REC_FREE, 0,
	                                    offsetof(struct tmk_rec_event, requested));
	if (!r)
		return;
	r->ptr = (uintptr_t)ptr;
	r->bytes = bytes;
	r->allocated = allocated;
	r->reserved = reserved;
	r->phase = phase;
	r->flags = flags | (grad ? TMK_EVENT_GRAD_MODE : 0);
	r->device = device;
	r->op = 0;
	if (bytes > 0) {
		r->op = w.op;
		r->requested = w.requested;
		r->python = w.python;
		r->native = w.native;
		r->module = w.module;
		r->shape = w.shape;
		r->scope = scope;
	}
	tmk_end(r);
}

/* A failing call of ours would replace an error that waits to be read by the program; one
 * that it leaves behind where none was would be taken for the program's. */
bool tmk_event_may_ask(void)
{
	return tmk_real.cudaPeekAtLastError && tmk_real.cudaGetLastError &&
	       !tmk_real.cudaPeekAtLastError();
}

void tmk_event_forget_error(void)
{
	tmk_real.cudaGetLastError();
}

static void device_memory(uint64_t *free_bytes, uint64_t *total)
{
	tmk_cuda_error (*const get)(size_t *, size_t *) = tmk_real.cudaMemGetInfo;
	size_t f = 0, t = 0;
	*free_bytes = *total = 0;
	if (!get || !tmk_event_may_ask())
		return;
	if (get(&f, &t)) {
		tmk_event_forget_error();
		return;
	}
	*free_bytes = f;
	*total = t;
}

/* While an error waits, it is the device that this thread had when last it was asked. */
struct tmk_device_id tmk_event_device(void)
{
	static __thread int8_t known __attribute__((tls_model("initial-exec")));
	int index = 0;
	if (tmk_real.cudaGetDevice && tmk_event_may_ask()) {
		if (!tmk_real.cudaGetDevice(&index))
			known = (int8_t)index;
		else
			tmk_event_forget_error();
	}
	return (struct tmk_device_id){1, known};
}

static __thread bool oom_awaits_message __attribute__((tls_model("initial-exec")));

void tmk_event_oom_message(const char *text)
{
	/* cudaMallocAsync's allocator reports to nobody, at a fraction's limit or the card's.
	 * What was asked for is the tensor's size, where a tensor was being made. */
	if (!oom_awaits_message)
		tmk_event_oom(-1, 0, 0, tmk_event_device(), "exception");
	oom_awaits_message = false;
	tmk_enrich_watch_end();
	tmk_emit_text(TMK_REC_OOM_MESSAGE, 0, 0, 0, 1, &text);
}

void tmk_event_oom(int64_t bytes, size_t allocated, size_t reserved,
                   struct tmk_device_id device, const char *source)
{
	if (!tmk_session_ensure())
		return;
	bool grad;
	struct tmk_where w;
	uint64_t free_bytes = 0, total = 0;
	uint8_t phase = tmk_phase_now(&grad);
	tmk_where_now(&w, bytes < 0 ? INT64_MAX : bytes);
	uint32_t scope = tmk_scope_now(phase);
	oom_awaits_message = true;
	if (device.type == 1)
		device_memory(&free_bytes, &total);
	struct tmk_rec_oom *r = tmk_begin(TMK_REC_OOM, 0, sizeof(*r) + 8);
	if (!r)
		return;
	memset((char *)r + sizeof(r->head), 0, sizeof(*r) + 8 - sizeof(r->head));
	r->requested = bytes < 0 ? w.requested : bytes;
	r->allocated = allocated;
	r->reserved = reserved;
	r->free_bytes = free_bytes;
	r->total_bytes = total;
	r->device = device;
	r->phase = phase;
	r->flags = grad ? TMK_EVENT_GRAD_MODE : 0;
	r->op = w.op;
	r->python = w.python;
	r->native = w.native;
	r->module = w.module;
	r->shape = w.shape;
	r->scope = scope;
	snprintf(r->source, sizeof(r->source), "%s", source);
	tmk_end(r);
}

static void segment(enum tmk_segment_code code, const char *call, uint64_t address,
                    size_t bytes, int host, int on)
{
	if (nothing_to_trace(code != TMK_SEGMENT_TAKEN) || !tmk_session_ensure())
		return;
	uint64_t free_bytes = 0, total = 0;
	struct tmk_device_id device = tmk_event_device();
	bool here = on < 0 || on == device.index;
	if (!host && code != TMK_SEGMENT_MAPPED && here)
		device_memory(&free_bytes, &total);
	struct tmk_rec_segment *r = tmk_begin(TMK_REC_SEGMENT, code, sizeof(*r));
	if (!r)
		return;
	r->address = address;
	r->bytes = bytes;
	r->free_bytes = free_bytes;
	r->total_bytes = total;
	r->device = here ? device : (struct tmk_device_id){1, (int8_t)on};
	r->host = (uint8_t)host;
	snprintf(r->call, sizeof(r->call), "%s", call);
	tmk_end(r);
}

void tmk_event_segment(enum tmk_segment_code code, const char *call, uint64_t address,
                       size_t bytes, int host)
{
	segment(code, call, address, bytes, host, -1);
}

void tmk_event_segment_on(int device, const char *call, uint64_t address, size_t bytes)
{
	segment(TMK_SEGMENT_TAKEN, call, address, bytes, 0, device);
}

void tmk_event_sample(uint64_t address)
{
	segment(TMK_SEGMENT_SAMPLE, "", address, 0, 0, -1);
}
