/* label.c - what an open stretch was, seen from the boundary that closes it.
 *
 * Between two boundaries (a backward begins or ends, a step begins, ...) the hook cannot
 * know whether it sees the forward or the preparation of data; the boundary that comes
 * next tells: a backward begins, so it was forward; a step begins, so it was clipping.
 * Frames of PyTorch's own files decide where they are on the stack: they are facts about
 * that one event. Each thread that trains has boundaries of its own, and stretches.
 * Called from: loop.c, model.c, step.c. */
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

/* Events without a phase from ev[from] on that the boundary names: the thread's own, and those
 * of threads that only work for others. */
struct stretch {
	const struct tmk_loop *loop;
	enum tmk_boundary closer;
	uint32_t from;
	uint32_t update; /* the thread's own before this one: weights are updated */
	uint16_t thread;
	bool own;              /* nobody else's */
	bool evaluates, asked; /* modules ran without gradients; that was found out */
	/* A module ran with gradients on. Where the first layers are frozen, that is a
	 * forward before its first node, and what it makes without gradients is its own. */
	bool called;
	/* A module ran without gradients, and no update has come since. */
	bool inference;
	bool makes; /* something is allocated in it */
};

static bool belongs(const struct tmk_model *m, const struct stretch *s,
                    const struct tmk_ev *e)
{
	return e->thread == s->thread || (!s->own && !tmk_model_trains(m, e->thread));
}

/* Between a backward and the step the gradients are clipped, if anything is computed: what the
 * backward's own graph lets go of there is no clipping. */
static uint8_t before_a_step(const struct stretch *s)
{
	return s->makes ? TMK_CLIP : TMK_OTHER;
}

static bool stretch_makes(const struct tmk_model *m, const struct stretch *s)
{
	for (uint32_t i = s->from; i < m->events; i++)
		if (m->ev[i].bytes > 0 && m->ev[i].phase == TMK_OPEN &&
		    belongs(m, s, &m->ev[i]))
			return true;
	return false;
}

/* Evaluation is what modules do without gradients. A stretch with no module in it that
 * has gradients off is somebody's no_grad arithmetic. Without Python frames there is no
 * module to see, and gradients off has to be enough. */
static bool stretch_evaluates(const struct tmk_model *m, const struct stretch *s)
{
	bool computed = false, frames = false;
	for (uint32_t i = s->from; i < m->events; i++) {
		const struct tmk_ev *e = &m->ev[i];
		if (e->bytes < 0 || e->flags & TMK_EVENT_GRAD_MODE || gathers(m, e) ||
		    e->phase == TMK_OPEN_IN_STEP || !belongs(m, s, e))
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
                              const struct stretch *s)
{
	/* Inside a module's call it is a forward also where nothing is trainable yet: frozen
	 * first layers run before the first autograd node ends setup. */
	if (s->loop->forward_open || e->module)
		return TMK_FORWARD;
	if (!m->setup_over)
		return TMK_SETUP;
	switch (s->closer) {
	case TMK_AT_BACKWARD:
		return TMK_FORWARD;
	case TMK_AT_STEP:
		return s->loop->backward_since_step ? before_a_step(s) : TMK_DATA;
	case TMK_AT_FORWARD:
		return TMK_DATA;
	case TMK_AT_ZERO_GRAD:
		return s->loop->backward_since_step ? TMK_OTHER : TMK_DATA;
	default:
		return TMK_OTHER;
	}
}

static uint8_t without_gradients(const struct tmk_model *m, const struct tmk_ev *e,
                                 struct stretch *s)
{
	if (s->loop->forward_open && s->closer == TMK_AT_BACKWARD)
		return TMK_FORWARD; /* a frozen part of the model */
	if (s->closer == TMK_AT_STEP && s->loop->backward_since_step)
		return s->inference ? TMK_EVAL : before_a_step(s);
	if (!s->asked)
		s->evaluates = stretch_evaluates(m, s);
	s->asked = true;
	if (s->evaluates && !s->called && (m->setup_over || e->module))
		return TMK_EVAL;
	return with_gradients(m, e, s);
}

/* Wrappers that shard make autograd nodes while they prepare the parameters. A first
 * forward that was opened outside any module begins with a module's call, if there is one
 * before the backward; where it begins, setup goes on up to there. */
static uint32_t first_call(struct tmk_model *m, const struct stretch *s)
{
	if (!m->forward_unsure)
		return 0;
	uint32_t i = s->from;
	while (i < m->events &&
	       (m->ev[i].bytes < 0 || !m->ev[i].module || !belongs(m, s, &m->ev[i])))
		i++;
	bool backward = s->closer == TMK_AT_BACKWARD || s->closer == TMK_AT_END;
	m->forward_unsure = !backward && i == m->events;
	return backward && i == m->events ? 0 : i;
}

/* Inside Optimizer.step, outside of a backward in it. A module that was not on the stack when
 * the step began is the closure's, and so is what a backward closes from the first node on:
 * an optimizer makes none, or never runs a backward after it. What a closure prepares
 * before, with gradients on, is data, but for an optimizer that leaves them on itself. */
static uint8_t in_step(const struct tmk_model *m, const struct tmk_ev *e, uint32_t i,
                       const struct stretch *s)
{
	uint8_t phase = e->bytes > 0 ? by_frames(m, e) : TMK_OPEN;
	if (phase != TMK_OPEN)
		return phase;
	if (e->module && e->module != s->loop->step_module)
		return TMK_FORWARD;
	const bool node = s->loop->node_from != UINT64_MAX &&
	                  i >= tmk_model_index(m, s->loop->node_from);
	if (s->closer == TMK_AT_BACKWARD || (s->closer == TMK_AT_END && node)) {
		if (node)
			return TMK_FORWARD;
		if (e->flags & TMK_EVENT_GRAD_MODE && !s->loop->step_grad)
			return TMK_DATA;
	}
	return TMK_OPTIMIZER;
}

/* Weights are updated outside of any module, in the sizes of what is trained. A step that is
 * begun inside a module's call has that module on the stack. */
static void watch_inference(const struct tmk_model *m, const struct tmk_ev *e,
                            struct stretch *s)
{
	if (e->bytes < 0 || e->flags & TMK_EVENT_GRAD_MODE || gathers(m, e))
		return;
	if (e->module)
		s->inference |= e->module != s->loop->step_module;
	else if (s->inference && tmk_model_gradient_sized(m, e->requested))
		s->inference = false;
}

static uint8_t outside_step(struct tmk_model *m, struct tmk_ev *e, uint32_t i,
                            struct stretch *s)
{
	uint8_t phase = e->bytes > 0 ? by_frames(m, e) : TMK_OPEN;
	if (phase == TMK_OPEN && !e->python)
		phase = for_a_worker(s->closer);
	if (phase != TMK_OPEN)
		return phase;
	watch_inference(m, e, s);
	if (i < s->update && e->thread == s->thread && tmk_model_updates(m, e) &&
	    !(s->inference && e->bytes > 0))
		return TMK_OPTIMIZER;
	if (e->flags & TMK_EVENT_GRAD_MODE) {
		phase = with_gradients(m, e, s);
		s->called |= s->closer == TMK_AT_FORWARD && e->bytes > 0 && e->module;
		return phase;
	}
	return without_gradients(m, e, s);
}

/* What an update makes and leaves behind is state; between an optimizer's step and the next
 * forward it may as well be a copy of the model. */
static bool is_update(struct tmk_model *m, const struct stretch *s)
{
	if (s->loop->forward_open || !m->setup_over)
		return false;
	return s->closer == TMK_AT_FORWARD || s->closer == TMK_AT_ZERO_GRAD ||
	       s->closer == TMK_AT_DATA || s->closer == TMK_AT_MARK ||
	       s->closer == TMK_AT_END;
}

static void keep_state(struct tmk_model *m, struct tmk_ev *e, uint32_t i,
                       const struct stretch *s)
{
	struct tmk_live *l = e->bytes > 0 && !e->died
	                             ? tmk_live_find(&m->live, e->device, e->ptr)
	                             : NULL;
	if (!l || l->born_step != m->step || l->born != m->flushed + i)
		return;
	if (tmk_model_goes_by_forward(m, s->thread) || s->loop->backward_since_step)
		l->evidence |= TMK_EV_UPDATE;
	else
		e->phase = with_gradients(m, e, s);
}

/* Does the optimizer work with gradients on? Told by a step without a closure. */
static void learn_step(struct tmk_model *m, const struct stretch *s)
{
	bool on = false;
	if (s->closer != TMK_AT_STEP_END || s->loop->node_from != UINT64_MAX)
		return;
	for (uint32_t i = s->from; i < m->events && !on; i++)
		on = m->ev[i].thread == s->thread && m->ev[i].bytes > 0 &&
		     m->ev[i].phase == TMK_OPTIMIZER &&
		     m->ev[i].flags & TMK_EVENT_GRAD_MODE &&
		     tmk_model_gradient_sized(m, m->ev[i].requested);
	tmk_model_loop(m, s->thread)->step_grad |= on;
}

void tmk_model_label(struct tmk_model *m, uint16_t thread, enum tmk_boundary closer,
                     bool own)
{
	struct stretch s = {.loop = tmk_model_loop(m, thread),
	                    .closer = closer,
	                    .thread = thread,
	                    .own = own};
	s.from = tmk_model_index(m, s.loop->open_from);
	s.makes = closer == TMK_AT_STEP && stretch_makes(m, &s);
	uint32_t forward_from = first_call(m, &s);
	if (s.loop->given && !m->weights_known && closer != TMK_AT_BACKWARD_END)
		tmk_model_gradients_given(m, thread, s.from);
	if (is_update(m, &s))
		s.update = tmk_model_update_until(m, thread, s.from);
	for (uint32_t i = s.from; i < m->events; i++) {
		struct tmk_ev *e = &m->ev[i];
		if (!belongs(m, &s, e))
			continue;
		if (e->phase == TMK_OPEN_IN_STEP) {
			e->phase = in_step(m, e, i, &s);
			continue;
		}
		if (e->phase == TMK_OPEN && i < forward_from)
			e->phase = TMK_SETUP;
		if (e->phase != TMK_OPEN) {
			/* the program says "forward" of more than one */
			if (e->bytes > 0 && e->phase == TMK_FORWARD &&
			    by_frames(m, e) == TMK_BACKWARD)
				e->phase = TMK_BACKWARD;
			continue;
		}
		e->phase = outside_step(m, e, i, &s);
		if (i < s.update && e->phase == TMK_OPTIMIZER)
			keep_state(m, e, i, &s);
	}
	learn_step(m, &s);
	struct tmk_loop *l = tmk_model_loop(m, thread);
	l->given &= closer == TMK_AT_BACKWARD_END;
	l->open_from = m->total_events;
}

void tmk_model_label_rest(struct tmk_model *m)
{
	for (uint32_t i = 0; i < m->events; i++) {
		const struct tmk_ev *e = &m->ev[i];
		if (e->phase < TMK_PHASES)
			continue;
		uint16_t thread =
		        tmk_model_trains(m, e->thread) ? e->thread : m->last_loop;
		struct tmk_loop *l = tmk_model_loop(m, thread);
		uint64_t first = m->total_events - m->events;
		if (l->open_from > first + i) /* another's, that came late */
			l->open_from = first + i;
		tmk_model_label(m, thread, TMK_AT_END, false);
	}
}

uint8_t tmk_model_phase_of_oom(struct tmk_model *m, const struct tmk_rec_oom *r)
{
	const bool trains = tmk_model_trains(m, r->head.thread);
	const struct tmk_loop *l =
	        tmk_model_loop(m, trains ? r->head.thread : m->last_loop);
	if (r->phase == TMK_OPEN_IN_STEP)
		return l->node_from != UINT64_MAX ||
		                       (r->module && r->module != l->step_module)
		               ? TMK_FORWARD
		               : TMK_OPTIMIZER;
	if (r->phase != TMK_OPEN)
		return r->phase;
	return !m->setup_over                   ? TMK_SETUP
	       : l->forward_open                ? TMK_FORWARD
	       : !r->module                     ? TMK_OTHER
	       : r->flags & TMK_EVENT_GRAD_MODE ? TMK_FORWARD
	                                        : TMK_EVAL;
}
