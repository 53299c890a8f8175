/* loop.c - training loops: what each thread is in the middle of, and where a step ends.
 *
 * A step ends with Optimizer.step(); optimizers that step one after the other, or many times
 * inside one backward, end one step. Where several backwards went by and nobody stepped, a
 * step ends where the next forward begins. Whether that is so, or a first step accumulates
 * gradients, often only what follows tells: then records are held back (writer.c).
 * Called from: model.c, writer.c. */
#include <string.h>

#include "model.h"

/* So many backwards without a step of an optimizer, and there is none. */
enum { PATIENCE = 64 };

/* ---- threads ------------------------------------------------------------------------- */

struct tmk_loop *tmk_model_loop(struct tmk_model *m, uint16_t thread)
{
	static struct tmk_loop nobody; /* without memory: what it says is lost */
	if (thread < m->loops)
		return &m->loop[thread];
	uint32_t more = thread + 16u;
	struct tmk_loop *p = realloc(m->loop, more * sizeof *p);
	if (!p) {
		memset(&nobody, 0, sizeof nobody);
		return &nobody;
	}
	memset(p + m->loops, 0, (more - m->loops) * sizeof *p);
	m->loop = p;
	m->loops = more;
	return &m->loop[thread];
}

bool tmk_model_trains(const struct tmk_model *m, uint16_t thread)
{
	return thread < m->loops && m->loop[thread].trains;
}

uint32_t tmk_model_index(const struct tmk_model *m, uint64_t event)
{
	uint64_t first = m->total_events - m->events;
	uint64_t i = event > first ? event - first : 0;
	return i < m->events ? (uint32_t)i : m->events;
}

/* A step that an optimizer ended uses up the backwards of its own thread. Where it had none
 * the backwards ran elsewhere, and there is but one loop. */
void tmk_model_use_up(struct tmk_model *m)
{
	struct tmk_loop *l = tmk_model_loop(m, m->held_thread);
	uint32_t first = m->held_thread, end = first + 1;
	if (m->held_backward)
		end = (first = l->home) + 1u;
	if (m->by_marks || (!l->backwards && !l->backward_since_step))
		first = 0, end = m->loops;
	for (uint32_t i = first; i < end && i < m->loops; i++) {
		m->loop[i].backward_since_step = m->loop[i].dropped = false;
		m->loop[i].backwards = 0;
	}
}

/* ---- a step ends where the next forward begins ----------------------------------------- */

/* What the forwards of this step made and is alive. */
static int64_t graph_bytes(const struct tmk_model *m)
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
	return graph_bytes(m) * 2 <= l->graph_bytes;
}

static void goes_by_forward(struct tmk_model *m)
{
	if (m->way != TMK_BY_FORWARD)
		tmk_store_run(m->store, TMK_SQL_capability, "steps", "degraded",
		              "no Optimizer.step() after several backwards: a step "
		              "ends where the next forward begins");
	m->way = TMK_BY_FORWARD;
}

enum verdict { GOES_ON, ENDS, WAIT };

/* A forward begins after a backward, with no optimizer's step between. */
static enum verdict by_forward(struct tmk_model *m, const struct tmk_loop *l)
{
	if (m->each || !l->accumulate)
		return ENDS;
	m->drops |= l->dropped;
	if (l->dropped)
		return ENDS;
	if (l->backwards >= PATIENCE)
		m->each = true;
	return m->each ? ENDS : m->drops || m->waits ? GOES_ON : WAIT;
}

static enum verdict unknown_yet(struct tmk_model *m, const struct tmk_loop *l)
{
	const bool none = m->python_looked && !m->optimizer_known;
	if ((l->accumulate && l->dropped) || (!l->accumulate && none) ||
	    l->backwards >= PATIENCE) {
		goes_by_forward(m);
		return by_forward(m, l);
	}
	return m->waits ? GOES_ON : WAIT;
}

static enum verdict judge(struct tmk_model *m, const struct tmk_loop *l)
{
	if (m->by_marks || l->forward_open || !l->backwards || l->in_step)
		return GOES_ON;
	if (m->way == TMK_BY_OPTIMIZER) {
		/* It may have stopped stepping long ago. */
		if (l->backwards < PATIENCE || l->backwards / 4 < m->most_micro)
			return GOES_ON;
		goes_by_forward(m);
	}
	if (!graph_is_gone(m, l) && l->backwards < PATIENCE)
		return GOES_ON;
	return m->way == TMK_BY_FORWARD ? by_forward(m, l) : unknown_yet(m, l);
}

bool tmk_model_must_wait(struct tmk_model *m, const struct tmk_record *r)
{
	if (r->kind != TMK_REC_BOUNDARY || r->code != TMK_AT_FORWARD ||
	    judge(m, tmk_model_loop(m, r->thread)) != WAIT)
		return false;
	m->held_thread = r->thread;
	m->held_backwards = 0;
	m->held_drop = false;
	return true;
}

/* Is a gradient that the held back forward found alive given up, outside of any zero_grad? */
static bool drops_gradient(struct tmk_model *m, const struct tmk_rec_event *r)
{
	if (r->phase != TMK_OPEN)
		return false;
	const struct tmk_device_state *d = tmk_model_device(m, r->device);
	const struct tmk_live *l =
	        tmk_live_find(&m->live, (uint8_t)(d - m->device), r->ptr);
	return l && l->evidence & TMK_EV_GRADIENT;
}

/* If the loop goes on after that, it was no end of a program: dropped before the next backward,
 * a step ended before that forward; after it, gradients accumulate up to there. */
static bool tells_drop(struct tmk_model *m, uint8_t code)
{
	if (!m->held_drop ||
	    code != (m->held_backwards ? TMK_AT_FORWARD : TMK_AT_BACKWARD))
		return false;
	goes_by_forward(m);
	if (m->held_backwards)
		m->drops = true;
	else
		m->each = true;
	return true;
}

static bool tells_boundary(struct tmk_model *m, const struct tmk_record *r)
{
	const struct tmk_rec_boundary *b = (const struct tmk_rec_boundary *)r;
	const struct tmk_loop *l = tmk_model_loop(m, m->held_thread);
	if (r->thread == m->held_thread && tells_drop(m, r->code))
		return true;
	switch (r->code) {
	case TMK_AT_STEP:
		m->way = TMK_BY_OPTIMIZER;
		return true;
	case TMK_AT_MARK:
		m->by_marks = true;
		return true;
	case TMK_AT_ZERO_GRAD:
		m->optimizer_known = true;
		return false;
	case TMK_AT_BACKWARD_END:
		m->held_backwards += r->thread == m->held_thread && !b->inside;
		if (l->backwards + m->held_backwards < PATIENCE)
			return false;
		goes_by_forward(m);
		m->each = true;
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
 * end of a run in which nobody ever stepped, each backward was a step. */
void tmk_model_decide(struct tmk_model *m, bool at_end)
{
	const struct tmk_loop *l = tmk_model_loop(m, m->held_thread);
	const bool none = m->python_looked && !m->optimizer_known;
	if (at_end ? l->accumulate && m->optimizer_known : !none) {
		m->waits = true;
		return;
	}
	goes_by_forward(m);
	m->each = true;
}

bool tmk_model_last_is_over(const struct tmk_model *m)
{
	if (m->way != TMK_BY_FORWARD || m->by_marks)
		return false;
	for (uint32_t i = 0; i < m->loops; i++)
		if (m->loop[i].backwards && !m->loop[i].forward_open)
			return true;
	return false;
}

/* ---- where an optimizer ends it --------------------------------------------------------- */

bool tmk_model_step_may_end(struct tmk_model *m, const struct tmk_record *r)
{
	const struct tmk_rec_boundary *b = (const struct tmk_rec_boundary *)r;
	if (r->kind != TMK_REC_BOUNDARY || m->by_marks)
		return false;
	bool stepped = r->code == TMK_AT_STEP_END && !b->inside;
	bool backward = r->code == TMK_AT_BACKWARD_END && m->stepped_inside &&
	                !tmk_model_loop(m, r->thread)->in_step;
	if (!stepped && !backward)
		return false;
	m->held_thread = r->thread;
	m->held_backward = backward;
	return true;
}

int tmk_model_settles(const struct tmk_model *m, const struct tmk_record *r)
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
	/* What another thread does that trains with an optimizer of its own says nothing. */
	if (r->thread != m->held_thread && r->thread < m->loops &&
	    m->loop[r->thread].stepped)
		return 0;
	/* A second optimizer steps with no forward or backward in between: one step, unless
	 * the first ran them itself (LBFGS calls its closure). */
	if (r->code == TMK_AT_STEP)
		return l && l->closure ? 1 : -1;
	/* A second backward of one forward, stepping as the first did. */
	if (r->code == TMK_AT_BACKWARD && m->held_backward)
		return -1;
	return 1;
}

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
	const bool first = !m->setup_over, ends = judge(m, l) == ENDS;
	tmk_model_label(m, r->head.thread, TMK_AT_FORWARD, false);
	setup_ends(m);
	if (ends) {
		tmk_model_end_step(m, true);
		l->backward_since_step = l->dropped = false;
		l->backwards = 0;
	}
	m->forward_unsure |= first && !r->module;
	l->forward_open = true;
	m->last_forward = r->head.thread;
}

/* The backward is that of the forward on its own thread, or else of the last one begun. */
static struct tmk_loop *find_home(struct tmk_model *m, uint16_t thread)
{
	struct tmk_loop *l = tmk_model_loop(m, thread);
	l->home = !l->forward_open && tmk_model_loop(m, m->last_forward)->forward_open
	                  ? m->last_forward
	                  : thread;
	return tmk_model_loop(m, l->home);
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
	             sizeof *m->backward_at))
		m->backward_at[m->backward_count++] = m->flushed + m->events;
	struct tmk_loop *l = tmk_model_loop(m, thread);
	l->closure |= l->in_step;
	l->node_from = UINT64_MAX;
	home->forward_open = false;
	home->accumulate = r->accumulate;
	home->keep = r->keep;
	if (r->keep && m->way != TMK_BY_OPTIMIZER)
		home->graph_bytes = graph_bytes(m);
}

static void backward_ends(struct tmk_model *m, const struct tmk_rec_boundary *r)
{
	uint16_t thread = r->head.thread;
	struct tmk_loop *l = tmk_model_loop(m, thread);
	struct tmk_loop *home = tmk_model_loop(m, l->home);
	tmk_model_label(m, thread, TMK_AT_BACKWARD_END, false);
	tmk_model_settle_candidates(m);
	l->given = !r->accumulate;
	m->micro_steps += r->accumulate;
	m->backward_since_step = true;
	l->backward_since_step = home->backward_since_step = true;
	l->forward_open = home->forward_open = false;
	home->backwards += !l->in_step;
}

static void step_begins(struct tmk_model *m, const struct tmk_rec_boundary *r)
{
	struct tmk_loop *l = tmk_model_loop(m, r->head.thread);
	if (r->inside) /* what it works on are gradients */
		tmk_model_settle_candidates(m);
	tmk_model_label(m, r->head.thread, TMK_AT_STEP, r->inside);
	setup_ends(m);
	m->way = TMK_BY_OPTIMIZER;
	l->in_step = true;
	l->closure = false;
	l->step_module = r->module;
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
		m->stepped_inside = true;
		return;
	}
	l->stepped = true;
	l->forward_open = false;
	if (m->micro_steps > m->most_micro)
		m->most_micro = m->micro_steps;
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
	}
}
