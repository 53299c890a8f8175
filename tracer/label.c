/* label.c - what an open stretch was, seen from the boundary that closes it.
 *
 * Between two boundaries (a backward begins or ends, a step begins, ...) the hook cannot
 * know whether it sees the forward or the preparation of data; the boundary that comes
 * next tells: a backward begins, so it was forward; a step begins, so it was clipping.
 * Frames of PyTorch's own files decide where they are on the stack: they are facts about
 * that one event. Called from: model.c, step.c. */
#include "model.h"

static uint8_t by_frames(const struct tmk_model *m, const struct tmk_ev *e)
{
	int flags = tmk_names_flags(m->names, e->python, e->native);
	if (flags & TMK_IN_SEED)
		return TMK_BACKWARD;
	if (flags & TMK_IN_CLIP)
		return TMK_CLIP;
	if (flags & TMK_IN_ZERO_GRAD)
		return TMK_ZERO_GRAD;
	if (flags & TMK_IN_DATA)
		return TMK_DATA;
	/* A reentrant checkpoint runs its forward without gradients: not an evaluation. */
	if (flags & TMK_IN_CHECKPOINT)
		return TMK_FORWARD;
	return TMK_OPEN;
}

/* Sharded modules gather their parameters without gradients, whatever they do then. */
static bool gathers(const struct tmk_model *m, const struct tmk_ev *e)
{
	return tmk_names_flags(m->names, e->python, e->native) & TMK_IN_COMMUNICATION;
}

/* Evaluation is what modules do without gradients. A stretch with no module in it that
 * has gradients off is somebody's no_grad arithmetic. Without Python frames there is no
 * module to see, and gradients off has to be enough. */
static bool stretch_evaluates(const struct tmk_model *m)
{
	bool computed = false, frames = false;
	for (uint32_t i = m->open_from; i < m->events; i++) {
		const struct tmk_ev *e = &m->ev[i];
		if (e->bytes < 0 || e->flags & TMK_EVENT_GRAD_MODE || gathers(m, e))
			continue;
		if (e->module)
			return true;
		computed = true;
		frames |= e->python != 0;
	}
	return computed && !frames;
}

/* A thread without scopes of its own and without Python is a worker of whoever computes:
 * it does what the program does. */
static uint8_t for_a_worker(enum tmk_boundary closer)
{
	switch (closer) {
	case TMK_AT_BACKWARD_END:
		return TMK_BACKWARD;
	case TMK_AT_STEP_END:
		return TMK_OPTIMIZER;
	case TMK_AT_ZERO_GRAD_END:
		return TMK_ZERO_GRAD;
	case TMK_AT_DATA_END:
		return TMK_DATA;
	default:
		return TMK_OPEN;
	}
}

static uint8_t with_gradients(const struct tmk_model *m, const struct tmk_ev *e,
                              enum tmk_boundary closer)
{
	/* Inside a module's call it is a forward also where nothing is trainable yet: frozen
	 * first layers run before the first autograd node ends setup. */
	if (m->forward_open || e->module)
		return TMK_FORWARD;
	if (!m->setup_over)
		return TMK_SETUP;
	switch (closer) {
	case TMK_AT_BACKWARD:
		return TMK_FORWARD;
	case TMK_AT_STEP:
		return m->backward_since_step ? TMK_CLIP : TMK_DATA;
	case TMK_AT_FORWARD:
		return TMK_DATA;
	case TMK_AT_ZERO_GRAD:
		return m->backward_since_step ? TMK_OTHER : TMK_DATA;
	default:
		return TMK_OTHER;
	}
}

/* called: a module ran with gradients on in this stretch. Where the first layers are frozen,
 * that is a forward before its first node, and what it makes without gradients is its own. */
static uint8_t without_gradients(const struct tmk_model *m, const struct tmk_ev *e,
                                 enum tmk_boundary closer, bool evaluates, bool called)
{
	if (m->forward_open && closer == TMK_AT_BACKWARD)
		return TMK_FORWARD; /* a frozen part of the model */
	if (closer == TMK_AT_STEP && m->backward_since_step)
		return TMK_CLIP;
	if (evaluates && !called && (m->setup_over || e->module))
		return TMK_EVAL;
	return with_gradients(m, e, closer);
}

/* Wrappers that shard make autograd nodes while they prepare the parameters. A first
 * forward that was opened outside any module begins with a module's call, if there is one
 * before the backward; where it begins, setup goes on up to there. */
static uint32_t first_call(struct tmk_model *m, enum tmk_boundary closer)
{
	if (!m->forward_unsure)
		return 0;
	uint32_t i = m->open_from;
	while (i < m->events && (m->ev[i].bytes < 0 || !m->ev[i].module))
		i++;
	bool backward = closer == TMK_AT_BACKWARD || closer == TMK_AT_END;
	m->forward_unsure = !backward && i == m->events;
	return backward && i == m->events ? 0 : i;
}

void tmk_model_label(struct tmk_model *m, enum tmk_boundary closer)
{
	bool evaluates = false, asked = false, called = false;
	uint32_t forward_from = first_call(m, closer);
	for (uint32_t i = m->open_from; i < m->events; i++) {
		struct tmk_ev *e = &m->ev[i];
		if (e->phase == TMK_OPEN && i < forward_from)
			e->phase = TMK_SETUP;
		if (e->phase != TMK_OPEN) {
			/* inside a step's closure the seed of its backward is known too */
			if (e->bytes > 0 && e->phase == TMK_FORWARD &&
			    by_frames(m, e) == TMK_BACKWARD)
				e->phase = TMK_BACKWARD;
			continue;
		}
		uint8_t phase = e->bytes > 0 ? by_frames(m, e) : TMK_OPEN;
		if (phase == TMK_OPEN && !e->python)
			phase = for_a_worker(closer);
		if (phase == TMK_OPEN && e->flags & TMK_EVENT_GRAD_MODE) {
			phase = with_gradients(m, e, closer);
			called |= closer == TMK_AT_FORWARD && e->bytes > 0 && e->module;
		} else if (phase == TMK_OPEN) {
			if (!asked)
				evaluates = stretch_evaluates(m);
			asked = true;
			phase = without_gradients(m, e, closer, evaluates, called);
		}
		e->phase = phase;
	}
	m->open_from = m->events;
}
