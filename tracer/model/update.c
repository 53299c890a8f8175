/* update.c - weights updated without Optimizer.step: by hand, by another library's optimizer,
 * by what an optimizer's wrapper does before or after it.
 *
 * Nothing announces such an update. What tells it from the preparation of data that follows:
 * it computes without gradients, outside of any module, on what has the size of a gradient;
 * and where a loop has no optimizer, gradients are given up when it is over.
 * Called from: label.c, loop.c, evidence.c, classify.c. */
#include "intern.h"
#include "model.h"

/* A block of a scalar has the size of any other scalar. */
enum { TELLING = 9 };

static uint32_t bit_of(int64_t bytes, uint32_t which)
{
	uint64_t h = tmk_mix((uint64_t)bytes, which);
	return (uint32_t)(h >> 32) %
	       (sizeof((struct tmk_model *)0)->sizes.gradient * 8);
}

static bool is_in(const uint64_t *set, int64_t bytes)
{
	for (uint32_t i = 0; i < 2; i++) {
		uint32_t bit = bit_of(bytes, i);
		if (!(set[bit / 64] >> bit % 64 & 1))
			return false;
	}
	return bytes >= TELLING;
}

bool tmk_model_gradient_sized(const struct tmk_model *m, int64_t bytes)
{
	return is_in(m->sizes.gradient, bytes);
}

bool tmk_model_parameter_sized(const struct tmk_model *m, int64_t bytes)
{
	return is_in(m->python_named ? m->sizes.named : m->sizes.gradient, bytes);
}

static void add_to(struct tmk_model *m, uint64_t *set, int64_t bytes)
{
	if (bytes < TELLING || is_in(set, bytes))
		return;
	for (uint32_t i = 0; i < 2; i++) {
		uint32_t bit = bit_of(bytes, i);
		set[bit / 64] |= (uint64_t)1 << bit % 64;
	}
	m->sizes_grew = true;
}

void tmk_model_add_gradient(struct tmk_model *m, int64_t bytes, bool named)
{
	add_to(m, m->sizes.gradient, bytes);
	if (named)
		add_to(m, m->sizes.named, bytes);
}

static int64_t needs(const struct tmk_ev *e)
{
	return e->requested < 0 ? e->bytes : e->requested;
}

/* A backward that gave its gradients to its caller names none. Of what it made they are what
 * is still there when the program goes on; a graph of the backward itself, kept for another
 * one, is gone by then where there is none. */
void tmk_model_gradients_given(struct tmk_model *m, uint16_t thread, uint32_t ended)
{
	uint32_t next = ended;
	while (next < m->events &&
	       (m->ev[next].bytes < 0 || m->ev[next].thread != thread))
		next++;
	for (uint32_t i = 0; i < ended; i++) {
		const struct tmk_ev *e = &m->ev[i];
		if (e->bytes > 0 && e->phase == TMK_BACKWARD &&
		    (!e->died || e->died > m->flushed + next))
			tmk_model_add_gradient(m, needs(e), false);
	}
}

static bool without_module(const struct tmk_model *m, const struct tmk_ev *e)
{
	return !e->module && !(tmk_names_flags(m->names, e->python, e->native) &
	                       TMK_IN_COMMUNICATION);
}

/* Gradients on: of an update only where it can be nothing else. A batch that has a gradient of
 * its own has the size of one. */
static bool computes(const struct tmk_model *m, const struct tmk_ev *e)
{
	if (!without_module(m, e) || !tmk_model_gradient_sized(m, needs(e)))
		return false;
	if (!(e->flags & TMK_EVENT_GRAD_MODE))
		return true;
	return tmk_model_goes_by_forward(m, e->thread) &&
	       tmk_model_parameter_sized(m, needs(e)) &&
	       !(tmk_names_flags(m->names, e->python, e->native) & TMK_IN_BATCH);
}

/* A batch's own gradient may go with the batch, when the next one has been made. */
static bool frees_gradient(const struct tmk_model *m, const struct tmk_ev *e)
{
	if (e->target == UINT32_MAX)
		return false;
	uint8_t evidence =
	        e->carried ? m->carried[e->target].evidence : m->ev[e->target].evidence;
	int64_t size = e->carried ? m->carried[e->target].requested
	                          : m->ev[e->target].requested;
	return evidence & TMK_EV_GRADIENT &&
	       tmk_model_parameter_sized(m, size < 0 ? -e->bytes : size);
}

uint32_t tmk_model_update_until(const struct tmk_model *m, uint16_t thread,
                                uint32_t from)
{
	const bool by_forward = tmk_model_goes_by_forward(m, thread);
	uint32_t until = from;
	for (uint32_t i = from; i < m->events; i++) {
		const struct tmk_ev *e = &m->ev[i];
		if (e->thread != thread || e->phase != TMK_OPEN)
			continue;
		if (e->bytes > 0 ? computes(m, e) : by_forward && frees_gradient(m, e))
			until = i + 1;
	}
	return until;
}

bool tmk_model_updates(const struct tmk_model *m, const struct tmk_ev *e)
{
	if (e->bytes < 0)
		return true;
	if (!without_module(m, e))
		return false;
	/* With gradients on it may be the next batch, made before the update. */
	return !(e->flags & TMK_EVENT_GRAD_MODE) ||
	       tmk_model_parameter_sized(m, needs(e)) ||
	       (e->died && tmk_model_goes_by_forward(m, e->thread));
}
