/* classify.c - from evidence to a bucket; the rules are listed in rules.def.
 * Called from: step.c when a step is written, model.c when evidence comes late. */
#include "model.h"

static const uint8_t bucket_of[] = {
#define RULE(name, bucket, evidence, what) bucket,
#include "rules.def"
#undef RULE
};

static int by_pointer(uint8_t evidence, uint8_t named)
{
	static const uint8_t python[] = {
	        TMK_RULE_python_parameter, TMK_RULE_python_buffer,
	        TMK_RULE_python_gradient, TMK_RULE_python_optimizer};
	if (named)
		return python[named - 1];
	if (evidence & TMK_EV_LEAF)
		return TMK_RULE_leaf;
	if (evidence & TMK_EV_GRADIENT)
		return TMK_RULE_accumulated;
	return -1;
}

/* A gathered parameter is a leaf, and Python may name it: the parameter is the shard. */
static bool gathers(uint8_t evidence, uint8_t named)
{
	return named ? named == 1 + TMK_TENSOR_PARAMETER : evidence & TMK_EV_LEAF;
}

/* Was it alive at one of these boundaries? Each is the ordinal of the event after it. */
static bool spans(const uint32_t *at, uint32_t count, uint32_t born, uint32_t died)
{
	for (uint32_t i = 0; i < count; i++)
		if (at[i] > born && (!died || at[i] <= died))
			return true;
	return false;
}

static int forward_rule(const struct tmk_model *m, uint32_t ordinal, bool alive,
                        uint32_t died)
{
	if (spans(m->backward_at, m->backward_count, ordinal, died))
		return TMK_RULE_into_backward;
	/* No backward came: the step died of what it had saved for it. */
	if (spans(m->oom_at, m->oom_count, ordinal, died))
		return TMK_RULE_at_oom;
	return alive ? TMK_RULE_forward_survivor : TMK_RULE_short_lived;
}

static int by_lifetime(const struct tmk_model *m, const struct tmk_ev *e,
                       uint32_t ordinal, bool alive)
{
	switch (e->phase) {
	case TMK_SETUP:
		return alive || e->evidence & TMK_EV_SETUP ? TMK_RULE_setup_survivor
		                                           : TMK_RULE_short_lived;
	case TMK_DATA:
		return TMK_RULE_data_phase;
	case TMK_FORWARD:
		return forward_rule(m, ordinal, alive, alive ? 0 : e->died - 1);
	case TMK_RECOMPUTE:
		return TMK_RULE_recomputed;
	case TMK_BACKWARD:
		return alive ? TMK_RULE_backward_survivor : TMK_RULE_short_lived;
	case TMK_OPTIMIZER:
		if (e->evidence & TMK_EV_UPDATE)
			return TMK_RULE_update_survivor;
		return alive || e->evidence & TMK_EV_KEPT_BY_STEP
		               ? TMK_RULE_step_survivor
		               : TMK_RULE_short_lived;
	default:
		return alive ? TMK_RULE_remaining : TMK_RULE_short_lived;
	}
}

void tmk_model_classify(struct tmk_model *m, struct tmk_ev *e, uint32_t ordinal)
{
	int flags = tmk_names_flags(m->names, e->python, e->native);
	int rule = flags & TMK_IN_COMMUNICATION && gathers(e->evidence, e->named)
	                   ? -1
	                   : by_pointer(e->evidence, e->named);
	uint32_t said = tmk_names_scope_bucket(m->names, e->scope);
	if (rule < 0 && said) {
		e->rule = TMK_RULE_program; /* its bucket is the one that was said */
		e->bucket = (uint8_t)(said - 1);
		return;
	}
	if (rule < 0 && flags & TMK_IN_WORKSPACE)
		rule = TMK_RULE_workspace_stack;
	/* what a reduction leaves of a backward is the gradient */
	if (rule < 0 && flags & TMK_IN_COMMUNICATION &&
	    (e->phase != TMK_BACKWARD || e->died))
		rule = TMK_RULE_communication_stack;
	if (rule < 0)
		rule = by_lifetime(m, e, ordinal, !e->died);
	e->rule = (uint8_t)rule;
	e->bucket = bucket_of[rule];
}

static void change(struct tmk_model *m, struct tmk_live *l, int rule)
{
	tmk_most_moved(m, l, l->bucket, bucket_of[rule]);
	l->rule = (uint8_t)rule;
	l->bucket = bucket_of[rule];
	if (l->row)
		tmk_store_run(m->store, TMK_SQL_bucket, (int64_t)l->bucket,
		              (int64_t)l->rule, l->row);
}

void tmk_model_reclassify(struct tmk_model *m, struct tmk_live *l)
{
	int rule = by_pointer(l->evidence, l->named);
	if (l->rule == TMK_RULE_communication_stack && gathers(l->evidence, l->named))
		return;
	if (rule >= 0 && rule != l->rule)
		change(m, l, rule);
}

/* Momentum made before the loop, which no optimizer of torch's has in its state. */
static bool state_by_hand(const struct tmk_model *m, const struct tmk_live *l)
{
	return !l->named && l->evidence & TMK_EV_ZEROED &&
	       !(l->evidence & TMK_EV_LEAF) && tmk_model_any_by_forward(m) &&
	       tmk_model_gradient_sized(m, l->requested < 0 ? l->bytes : l->requested);
}

void tmk_model_review_setup(struct tmk_model *m)
{
	if (m->step > 2)
		return;
	struct tmk_live *l = NULL;
	while ((l = tmk_live_next(&m->live, l))) {
		if (l->born_step >= m->step)
			continue;
		bool left = l->rule == TMK_RULE_setup_survivor ||
		            l->rule == TMK_RULE_setup_unnamed;
		if (left && state_by_hand(m, l))
			change(m, l, TMK_RULE_setup_state);
		else if (l->rule == TMK_RULE_setup_survivor && m->python_named)
			change(m, l, TMK_RULE_setup_unnamed);
	}
}

/* A model outlives the steps that train it; what wrappers give back comes before any
 * backward. A leaf that is none of the parameters that Python has named, nor as large as one,
 * is a batch that is asked for its gradient. */
void tmk_model_setup_dies(struct tmk_model *m, struct tmk_live *l)
{
	const int64_t needs = l->requested < 0 ? l->bytes : l->requested;
	bool trains = m->step == 1 ? m->backward_since_step : m->step == 2;
	bool leaf = l->evidence & TMK_EV_LEAF &&
	            (!m->python_named || tmk_model_parameter_sized(m, needs));
	if (trains && l->born_step < m->step && l->phase == TMK_SETUP && !l->named &&
	    !leaf)
		change(m, l, TMK_RULE_setup_batch);
}
