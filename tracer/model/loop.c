/* loop.c - training loops: what each thread is in the middle of, boundary by boundary.
 * Called from: model.c, label.c. Where a step ends is told in ends.c. */
#include <string.h>

#include "model.h"

/* ---- boundaries ------------------------------------------------------------------------- */

static void setup_ends(struct tmk_model *m)
{
	if (m->setup_over)
		return;
	tmk_model_mark_alive(m, 0, TMK_SETUP, TMK_EV_SETUP);
	m->setup_over = true;
	tmk_model_end_step(m, false); /* step 0 */
}

static void forward_begins(struct tmk_model *m, const struct tmk_rec_boundary *r)
{
	struct tmk_loop *l = tmk_model_loop(m, r->head.thread);
	const bool first = !m->setup_over, ends = tmk_model_forward_ends_step(m, l);
	tmk_model_label(m, r->head.thread, TMK_AT_FORWARD, false);
	setup_ends(m);
	if (ends) {
		tmk_model_end_step(m, true);
		m->by_forward++;
		l->backward_since_step = l->dropped = false;
		l->backwards = l->waited = 0;
	}
	m->forward_unsure |= first && !r->module;
	l->forward_open = true;
	m->last_forward = r->head.thread;
}

/* The backward is that of the forward on its own thread, or else of the last one begun. */
static struct tmk_loop *find_home(struct tmk_model *m, uint16_t thread)
{
	struct tmk_loop *l = tmk_model_loop(m, thread);
	l->home = !l->forward_open && !l->learns &&
	                          tmk_model_loop(m, m->last_forward)->forward_open
	                  ? m->last_forward
	                  : thread;
	struct tmk_loop *home = tmk_model_loop(m, l->home);
	home->learns = true;
	home->runner = thread;
	return home;
}

static void backward_begins(struct tmk_model *m, const struct tmk_rec_boundary *r)
{
	uint16_t thread = r->head.thread;
	struct tmk_loop *home = find_home(m, thread);
	if (home != tmk_model_loop(m, thread))
		tmk_model_label(m, tmk_model_loop(m, thread)->home, TMK_AT_BACKWARD,
		                true);
	tmk_model_label(m, thread, TMK_AT_BACKWARD, false);
	setup_ends(m);
	if (tmk_grow((void **)&m->backward_at, &m->backward_capacity, m->backward_count,
	             sizeof(*m->backward_at)))
		m->backward_at[m->backward_count++] = m->flushed + m->events;
	else
		m->lost[TMK_LOST_MEMORY_OTHER]++;
	struct tmk_loop *l = tmk_model_loop(m, thread);
	l->closure |= l->in_step;
	l->node_from = UINT64_MAX;
	home->forward_open = false;
	home->accumulate = r->accumulate;
	home->keep = r->keep;
	if (r->keep && home->way != TMK_BY_OPTIMIZER)
		home->graph_bytes = tmk_model_graph_bytes(m);
}

static void backward_ends(struct tmk_model *m, const struct tmk_rec_boundary *r)
{
	uint16_t thread = r->head.thread;
	struct tmk_loop *l = tmk_model_loop(m, thread);
	struct tmk_loop *home = tmk_model_loop(m, l->home);
	tmk_model_label(m, thread, TMK_AT_BACKWARD_END, false);
	tmk_model_judge_candidates(m);
	l->given = !r->accumulate;
	m->micro_steps += r->accumulate;
	m->backward_since_step = true;
	l->backward_since_step = home->backward_since_step = true;
	l->forward_open = home->forward_open = false;
	home->backwards += !l->in_step;
	home->waited += !l->in_step;
}

/* An optimizer that steps on a thread without backwards works for the others, but for those
 * that have shown that they have none. */
static void goes_by_optimizer(struct tmk_model *m, struct tmk_loop *l)
{
	bool found = l->learns;
	l->way = TMK_BY_OPTIMIZER;
	for (uint32_t i = 0; i < m->loops && !l->learns; i++)
		if (m->loop[i].learns && m->loop[i].way != TMK_BY_FORWARD) {
			m->loop[i].way = TMK_BY_OPTIMIZER;
			found = true;
		}
	for (uint32_t i = 0; i < m->loops && !found; i++)
		m->loop[i].way = TMK_BY_OPTIMIZER;
}

static void step_begins(struct tmk_model *m, const struct tmk_rec_boundary *r)
{
	struct tmk_loop *l = tmk_model_loop(m, r->head.thread);
	if (r->inside) /* what it works on are gradients */
		tmk_model_judge_candidates(m);
	l->step_module = r->module;
	tmk_model_label(m, r->head.thread, TMK_AT_STEP, r->inside);
	setup_ends(m);
	goes_by_optimizer(m, l);
	l->in_step = true;
	l->closure = false;
	l->step_from = m->total_events;
	l->node_from = UINT64_MAX;
}

static void step_ends(struct tmk_model *m, const struct tmk_rec_boundary *r)
{
	uint16_t thread = r->head.thread;
	struct tmk_loop *l = tmk_model_loop(m, thread);
	tmk_model_label(m, thread, TMK_AT_STEP_END, r->inside);
	l->in_step = false;
	tmk_model_mark_alive(m, tmk_model_index(m, l->step_from), TMK_OPTIMIZER,
	                     TMK_EV_KEPT_BY_STEP);
	if (r->inside) {
		l->stepped_inside = true;
		return;
	}
	l->stepped = true;
	l->forward_open = false;
	if (m->micro_steps > m->most_micro)
		m->most_micro = m->micro_steps;
}

/* Where zero_grad() is called for the first time: it may have nothing to let go of, and then no
 * event says so. */
static void tell_zero_grad(struct tmk_model *m)
{
	if (m->zero_grad_told)
		return;
	m->zero_grad_told = true;
	tmk_store_run(m->store, TMK_SQL_meta_first, "zero_grad.step", (int64_t)m->step);
	tmk_store_run(m->store, TMK_SQL_meta_first, "zero_grad.ordinal",
	              (int64_t)m->events);
}

void tmk_model_boundary(struct tmk_model *m, const struct tmk_rec_boundary *r)
{
	struct tmk_loop *l = tmk_model_loop(m, r->head.thread);
	enum tmk_boundary at = r->head.code;
	if (!l->trains) {
		l->trains = true;
		l->node_from = UINT64_MAX;
		l->home = r->head.thread;
		l->open_from = m->total_events - m->events;
	}
	m->last_loop = r->head.thread;
	switch (at) {
	case TMK_AT_FORWARD:
		forward_begins(m, r);
		return;
	case TMK_AT_BACKWARD:
		backward_begins(m, r);
		return;
	case TMK_AT_BACKWARD_END:
		backward_ends(m, r);
		return;
	case TMK_AT_STEP:
		step_begins(m, r);
		return;
	case TMK_AT_STEP_END:
		step_ends(m, r);
		return;
	case TMK_AT_CLOSURE:
		l->node_from = m->total_events;
		return;
	case TMK_AT_ZERO_GRAD:
		m->optimizer_known = true;
		tell_zero_grad(m);
		break;
	default:
		break;
	}
	/* In a step these say nothing: a closure may do its forward around them. */
	if (!l->in_step)
		tmk_model_label(m, r->head.thread, at, r->inside);
	if (at == TMK_AT_DATA || at == TMK_AT_MARK)
		setup_ends(m);
	if (at == TMK_AT_MARK) {
		m->by_marks = true;
		tmk_model_end_step(m, true);
		tmk_model_use_up(m);
	}
}
