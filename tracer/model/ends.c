/* ends.c - where a step ends.
 *
 * A step ends with Optimizer.step(); optimizers that step one after the other, or many times
 * inside one backward, end one step. Where several backwards went by and nobody stepped, a
 * step ends where the next forward begins. Whether that is so, or a first step accumulates
 * gradients, often only what follows tells: then records are held back (writer.c). Each
 * thread that trains has steps of its own, and its own way of ending them.
 * Called from: loop.c, writer.c, step.c. */
#include <stdio.h>
#include <string.h>

#include "model.h"

/* So many backwards without a step of an optimizer, and there is none. */
enum { PATIENCE = 64 };

/* Both train, each with backwards of its own: a step of one says nothing of the other's. */
static bool apart(const struct tmk_model *m, uint16_t a, uint16_t b)
{
	if (a == b || a >= m->loops || b >= m->loops)
		return false;
	const struct tmk_loop *x = &m->loop[a], *y = &m->loop[b];
	return x->learns && y->learns && x->runner != y->runner;
}

/* A step that an optimizer ended uses up the backwards of its own thread, and those that ran
 * there for others. Where it had none the backwards ran elsewhere. What others wait for that
 * have no optimizer of their own may have been this one. */
void tmk_model_use_up(struct tmk_model *m)
{
	const uint16_t held = m->held_thread;
	const struct tmk_loop *l = tmk_model_loop(m, held);
	const bool had = l->backwards || l->backward_since_step;
	for (uint32_t i = 0; i < m->loops; i++) {
		struct tmk_loop *o = &m->loop[i];
		const bool served = o->learns && o->runner == held;
		if (!o->learns || i == held)
			o->stepped_inside = false;
		if (!o->stepped && o->way != TMK_BY_FORWARD)
			o->waited = 0;
		if (!m->by_marks && i != held && !served &&
		    (had || o->way == TMK_BY_FORWARD))
			continue;
		o->backward_since_step = o->dropped = false;
		o->backwards = o->waited = 0;
	}
}

/* ---- a step ends where the next forward begins ----------------------------------------- */

bool tmk_model_any_by_forward(const struct tmk_model *m)
{
	for (uint32_t i = 0; i < m->loops; i++)
		if (m->loop[i].way == TMK_BY_FORWARD)
			return true;
	return false;
}

bool tmk_model_goes_by_forward(const struct tmk_model *m, uint16_t thread)
{
	if (thread < m->loops && m->loop[thread].way != TMK_BY_WHAT)
		return m->loop[thread].way == TMK_BY_FORWARD;
	return tmk_model_any_by_forward(m);
}

/* What the forwards of this step made and is alive. */
int64_t tmk_model_graph_bytes(const struct tmk_model *m)
{
	int64_t sum = 0;
	for (uint32_t i = 0; i < m->events; i++)
		if (m->ev[i].bytes > 0 && !m->ev[i].died &&
		    m->ev[i].phase == TMK_FORWARD)
			sum += m->ev[i].bytes;
	return sum;
}

/* A backward that leaves its graph alive is an inner one: another goes through it. */
static bool graph_is_gone(const struct tmk_model *m, const struct tmk_loop *l)
{
	if (!l->keep || (l->accumulate && l->dropped))
		return true;
	return tmk_model_graph_bytes(m) * 2 <= l->graph_bytes;
}

#define BY_FORWARD                                                                     \
	"no Optimizer.step() after several backwards: a step ends where the next "     \
	"forward begins"

static void goes_by_forward(struct tmk_model *m, struct tmk_loop *l)
{
	if (!tmk_model_any_by_forward(m))
		tmk_store_run(m->store, TMK_SQL_capability, "steps", "degraded",
		              BY_FORWARD);
	l->way = TMK_BY_FORWARD;
}

void tmk_model_say_by_forward(struct tmk_model *m)
{
	char why[160];
	if (!m->by_forward || m->by_forward == m->complete)
		return;
	snprintf(why, sizeof(why), "of %u of %u steps: " BY_FORWARD, m->by_forward,
	         m->complete);
	tmk_store_run(m->store, TMK_SQL_capability, "steps", "degraded", why);
}

enum verdict { GOES_ON, ENDS, WAIT };

/* Gradients that accumulate may be those of another thread's optimizer. */
static bool out_of_patience(const struct tmk_loop *l, uint32_t more)
{
	return (l->accumulate ? l->waited : l->backwards) + more >= PATIENCE;
}

/* A forward begins after a backward, with no optimizer's step between. */
static enum verdict by_forward(struct tmk_loop *l)
{
	if (l->each || !l->accumulate)
		return ENDS;
	l->drops |= l->dropped;
	if (l->dropped)
		return ENDS;
	l->each |= out_of_patience(l, 0);
	return l->each ? ENDS : l->drops || l->waits ? GOES_ON : WAIT;
}

static enum verdict unknown_yet(struct tmk_model *m, struct tmk_loop *l)
{
	const bool none = m->python_looked && !m->optimizer_known;
	if ((l->accumulate && l->dropped) || (!l->accumulate && none) ||
	    out_of_patience(l, 0)) {
		goes_by_forward(m, l);
		return by_forward(l);
	}
	return l->waits ? GOES_ON : WAIT;
}

static enum verdict judge(struct tmk_model *m, struct tmk_loop *l)
{
	if (m->by_marks || l->forward_open || !l->backwards || l->in_step)
		return GOES_ON;
	if (l->way == TMK_BY_OPTIMIZER) {
		/* It may have stopped stepping long ago. */
		if (!out_of_patience(l, 0) || l->backwards / 4 < m->most_micro)
			return GOES_ON;
		goes_by_forward(m, l);
	}
	if (!graph_is_gone(m, l) && !out_of_patience(l, 0))
		return GOES_ON;
	return l->way == TMK_BY_FORWARD ? by_forward(l) : unknown_yet(m, l);
}

bool tmk_model_forward_ends_step(struct tmk_model *m, struct tmk_loop *l)
{
	return judge(m, l) == ENDS;
}

bool tmk_model_must_wait(struct tmk_model *m, const struct tmk_record *r)
{
	if (r->kind != TMK_REC_BOUNDARY || r->code != TMK_AT_FORWARD ||
	    judge(m, tmk_model_loop(m, r->thread)) != WAIT)
		return false;
	m->held_thread = r->thread;
	m->held_backwards = m->held_rounds = 0;
	m->held_drop = false;
	m->held_round = true;
	return true;
}

/* Is a gradient that the held back forward found alive given up, outside of any zero_grad? */
static bool drops_gradient(struct tmk_model *m, const struct tmk_rec_event *r)
{
	if (r->phase != TMK_OPEN || apart(m, r->head.thread, m->held_thread))
		return false;
	const struct tmk_device_state *d = tmk_model_device(m, r->device);
	const struct tmk_live *l =
	        tmk_live_find(&m->live, (uint8_t)(d - m->device), r->ptr);
	return l && l->evidence & TMK_EV_GRADIENT;
}

/* If the loop goes on after that, it was no end of a program: dropped before the next backward,
 * a step ended before that forward; after it, gradients accumulate up to there. */
static bool tells_drop(struct tmk_model *m, struct tmk_loop *l, uint8_t code)
{
	if (!m->held_drop ||
	    code != (m->held_backwards ? TMK_AT_FORWARD : TMK_AT_BACKWARD))
		return false;
	goes_by_forward(m, l);
	if (m->held_backwards)
		l->drops = true;
	else
		l->each = true;
	return true;
}

/* Another thread's optimizer may be this one's, too: it is waited for, but not held for. */
static bool tells_step(struct tmk_model *m, struct tmk_loop *l, uint16_t thread)
{
	if (apart(m, thread, m->held_thread))
		l->waits = true;
	else
		l->way = TMK_BY_OPTIMIZER;
	return true;
}

static bool tells_boundary(struct tmk_model *m, const struct tmk_record *r)
{
	const struct tmk_rec_boundary *b = (const struct tmk_rec_boundary *)r;
	struct tmk_loop *l = tmk_model_loop(m, m->held_thread);
	if (r->thread == m->held_thread && tells_drop(m, l, r->code))
		return true;
	switch (r->code) {
	case TMK_AT_STEP:
		return tells_step(m, l, r->thread);
	case TMK_AT_MARK:
		m->by_marks = true;
		return true;
	case TMK_AT_ZERO_GRAD:
		m->optimizer_known = true;
		m->held_rounds += m->held_round;
		m->held_round = false;
		return false;
	case TMK_AT_BACKWARD_END:
		m->held_round = true;
		m->held_backwards += r->thread == m->held_thread && !b->inside;
		if (!out_of_patience(l, m->held_backwards))
			return false;
		goes_by_forward(m, l);
		l->each = true;
		return true;
	default:
		return false;
	}
}

void tmk_model_python_says(struct tmk_model *m, const struct tmk_rec_text *r)
{
	m->optimizer_known |= !strcmp(r->text, "optimizer_class");
	m->python_looked |= !strcmp(r->text, "script"); /* what it says last */
}

bool tmk_model_tells(struct tmk_model *m, const struct tmk_record *r)
{
	const struct tmk_loop *l = tmk_model_loop(m, m->held_thread);
	switch (r->kind) {
	case TMK_REC_FREE:
		m->held_drop |= drops_gradient(m, (const struct tmk_rec_event *)r);
		return false;
	case TMK_REC_BOUNDARY:
		return tells_boundary(m, r);
	case TMK_REC_RUN:
		tmk_model_python_says(m, (const struct tmk_rec_text *)r);
		return m->python_looked && !m->optimizer_known && !l->accumulate;
	case TMK_REC_END:
		tmk_model_decide(m, true);
		return true;
	default:
		return false;
	}
}

/* Gradients that accumulate while there is an optimizer wait for it. Without any, or at the
 * end of a run in which nobody ever stepped, each backward was a step; at the end also where
 * an optimizer was asked to give up each backward's gradients (its step was compiled, and said
 * nothing). */
void tmk_model_decide(struct tmk_model *m, bool at_end)
{
	enum { SEVERAL = 2 };
	struct tmk_loop *l = tmk_model_loop(m, m->held_thread);
	const bool none = m->python_looked && !m->optimizer_known;
	const bool waits =
	        l->accumulate && m->optimizer_known &&
	        (m->held_rounds < SEVERAL || m->held_rounds + 1 < m->held_backwards);
	if (at_end ? waits : !none) {
		l->waits = true;
		return;
	}
	goes_by_forward(m, l);
	l->each = true;
}

bool tmk_model_last_is_over(const struct tmk_model *m)
{
	for (uint32_t i = 0; i < m->loops && !m->by_marks; i++)
		if (m->loop[i].way == TMK_BY_FORWARD && m->loop[i].backwards &&
		    !m->loop[i].forward_open)
			return true;
	return false;
}

/* ---- where an optimizer ends it --------------------------------------------------------- */

/* CUDA's nodes, and the optimizers in them, run on threads of the engine. */
static bool stepped_inside(const struct tmk_model *m, uint16_t thread)
{
	for (uint32_t i = 0; i < m->loops; i++)
		if (m->loop[i].stepped_inside && (i == thread || !m->loop[i].learns))
			return true;
	return false;
}

bool tmk_model_step_may_end(struct tmk_model *m, const struct tmk_record *r)
{
	const struct tmk_rec_boundary *b = (const struct tmk_rec_boundary *)r;
	if (r->kind != TMK_REC_BOUNDARY || m->by_marks)
		return false;
	bool stepped = r->code == TMK_AT_STEP_END && !b->inside;
	bool backward = r->code == TMK_AT_BACKWARD_END &&
	                stepped_inside(m, r->thread) &&
	                !tmk_model_loop(m, r->thread)->in_step;
	if (!stepped && !backward)
		return false;
	m->held_thread = r->thread;
	m->held_backward = backward;
	return true;
}

int tmk_model_ends_hold(const struct tmk_model *m, const struct tmk_record *r)
{
	if (r->kind == TMK_REC_END)
		return 1;
	if (r->kind != TMK_REC_BOUNDARY || r->code == TMK_AT_ZERO_GRAD ||
	    r->code == TMK_AT_ZERO_GRAD_END)
		return 0;
	if (r->code == TMK_AT_MARK) /* steps end where the program says so */
		return -1;
	const struct tmk_loop *l =
	        m->held_thread < m->loops ? &m->loop[m->held_thread] : NULL;
	if (apart(m, r->thread, m->held_thread))
		return 0;
	/* A second optimizer steps with no forward or backward in between: one step, unless
	 * the first ran them itself (LBFGS calls its closure). */
	if (r->code == TMK_AT_STEP)
		return l && l->closure ? 1 : -1;
	/* ... or has been at it since before the first was done, on another thread. */
	if (r->code == TMK_AT_STEP_END)
		return -1;
	/* A second backward of one forward, stepping as the first did. */
	if (r->code == TMK_AT_BACKWARD && m->held_backward)
		return -1;
	return 1;
}
