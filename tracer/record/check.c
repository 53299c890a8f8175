/* check.c - what a sound record looks like, kind by kind. Called from: resume.c. */
#include "check.h"

#include <stddef.h>
#include <string.h>

/* No block, no total and no count of bytes is larger: sums of them cannot overflow. */
static const uint64_t MOST_BYTES = (uint64_t)1 << 50;

static bool small(uint64_t bytes)
{
	return bytes <= MOST_BYTES;
}

/* `n` strings, one after the other, each with its end before `end`. */
static bool strings(const char *text, const char *end, int n)
{
	for (; n > 0; n--) {
		const char *zero =
		        text < end ? memchr(text, 0, (size_t)(end - text)) : NULL;
		if (!zero)
			return false;
		text = zero + 1;
	}
	return true;
}

static bool text(const struct tmk_record *r, size_t head, int n)
{
	return r->size >= head &&
	       strings((const char *)r + head, (const char *)r + r->size, n);
}

static bool event(const struct tmk_record *r)
{
	const struct tmk_rec_event *e = (const struct tmk_rec_event *)r;
	bool alloc = r->kind == TMK_REC_ALLOC;
	size_t size = alloc ? sizeof(*e)
	                    : TMK_ALIGN8(offsetof(struct tmk_rec_event, requested));
	if (r->size != size || e->phase > TMK_OPEN_IN_STEP || !small(e->allocated) ||
	    !small(e->reserved))
		return false;
	return alloc ? e->bytes >= 0 && small((uint64_t)e->bytes) &&
	                       e->requested >= -1 && e->requested <= (int64_t)MOST_BYTES
	             : e->bytes <= 0 && e->bytes >= -(int64_t)MOST_BYTES;
}

static bool oom(const struct tmk_record *r)
{
	const struct tmk_rec_oom *o = (const struct tmk_rec_oom *)r;
	return text(r, offsetof(struct tmk_rec_oom, message), 1) &&
	       memchr(o->source, 0, sizeof(o->source)) &&
	       o->phase <= TMK_OPEN_IN_STEP && o->requested >= INT64_MIN / 2 &&
	       small(o->allocated) && small(o->reserved) && small(o->free_bytes) &&
	       small(o->total_bytes);
}

static bool segment(const struct tmk_record *r)
{
	const struct tmk_rec_segment *s = (const struct tmk_rec_segment *)r;
	return r->size == sizeof(*s) && memchr(s->call, 0, sizeof(s->call)) &&
	       small(s->free_bytes) && small(s->total_bytes);
}

static bool stack(const struct tmk_record *r)
{
	const struct tmk_rec_stack *s = (const struct tmk_rec_stack *)r;
	return r->size >= sizeof(*s) && (r->size - sizeof(*s)) / 8 >= s->depth;
}

static bool thread(const struct tmk_record *r)
{
	const struct tmk_rec_thread *t = (const struct tmk_rec_thread *)r;
	return r->size == TMK_ALIGN8(sizeof(*t)) && memchr(t->name, 0, sizeof(t->name));
}

bool tmk_record_is_sound(const struct tmk_record *r, uint64_t room)
{
	if (room < sizeof(*r) || r->size < sizeof(*r) || r->size > room || r->size % 8)
		return false;
	switch (r->kind) {
	case TMK_REC_ALLOC:
	case TMK_REC_FREE:
		return event(r);
	case TMK_REC_BOUNDARY:
		return r->size == sizeof(struct tmk_rec_boundary) &&
		       r->code <= TMK_AT_CLOSURE;
	case TMK_REC_SEGMENT:
		return segment(r);
	case TMK_REC_OOM:
		return oom(r);
	case TMK_REC_POINTER:
		return r->size == sizeof(struct tmk_rec_pointer);
	case TMK_REC_THREAD:
		return thread(r);
	case TMK_REC_PYFRAME:
		return text(r, offsetof(struct tmk_rec_pyframe, text), 2);
	case TMK_REC_PYSTACK:
	case TMK_REC_CSTACK:
		return stack(r);
	case TMK_REC_SHAPE:
		return r->size == sizeof(struct tmk_rec_shape);
	case TMK_REC_TENSOR: {
		const struct tmk_rec_tensor *t = (const struct tmk_rec_tensor *)r;
		return text(r, offsetof(struct tmk_rec_tensor, text), 3) &&
		       t->bytes >= 0 && small((uint64_t)t->bytes);
	}
	case TMK_REC_RUN:
	case TMK_REC_META:
	case TMK_REC_LOST:
		return text(r, offsetof(struct tmk_rec_text, text), 2);
	case TMK_REC_CAPABILITY:
		return text(r, offsetof(struct tmk_rec_text, text), 3);
	case TMK_REC_MODULE:
	case TMK_REC_OP:
	case TMK_REC_MODNAME:
	case TMK_REC_DEVICE:
	case TMK_REC_OOM_MESSAGE:
	case TMK_REC_SCOPE:
		return text(r, offsetof(struct tmk_rec_text, text), 1);
	case TMK_REC_END:
		return r->size == sizeof(struct tmk_rec_end);
	default:
		return false;
	}
}
