/* subject.c - the model that `plan` is asked about.
 * Called from: options.c. */
#include "subject.h"

#include <string.h>

#include "fail.h"
#include "config.h"
#include "tasks.h"
#include "values.h"

static const enum option_id subjects[] = {OPT_MODEL, OPT_PARAMS, OPT_CONFIG, OPT_TRACE};

static bool shape_options(const struct options *options)
{
	static const enum option_id ids[] = {OPT_LAYERS, OPT_HIDDEN,   OPT_FFN,
	                                     OPT_HEADS,  OPT_KV_HEADS, OPT_VOCAB,
	                                     OPT_TIED};
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
		if (options->value[ids[i]])
			return true;
	return false;
}

static void refuse_two_subjects(const struct options *options)
{
	const char *first = NULL;

	if (options->count)
		fail(STATUS_USAGE,
		     "'plan' takes options alone, not '%s'; for a model say "
		     "'--model %s', for a trace '--trace %s'",
		     options->words[0], options->words[0], options->words[0]);
	for (size_t i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++) {
		if (!options->value[subjects[i]])
			continue;
		if (first)
			fail(STATUS_USAGE,
			     "'--%s' and '--%s' both name a model; give one", first,
			     option_table[subjects[i]].name);
		first = option_table[subjects[i]].name;
	}
	if (!first && !shape_options(options))
		fail(STATUS_USAGE,
		     "name a model: '--model gpt2', '--params 7B', '--config "
		     "config.json', '--trace FILE', or '--layers' and "
		     "'--hidden'");
}

/* Sizes from the command line, over those of a named model. */
static void override(struct plan *plan, const struct options *options, struct shape *s)
{
	bool heads, hidden = plan_count(options, OPT_HIDDEN, &s->hidden);

	plan_count(options, OPT_LAYERS, &s->layers);
	plan_count(options, OPT_VOCAB, &s->vocab);
	if (!plan_count(options, OPT_FFN, &s->ffn) && hidden)
		s->ffn = 4 * s->hidden;
	heads = plan_count(options, OPT_HEADS, &s->heads);
	if (!s->heads) {
		s->heads = s->hidden % 64 || s->hidden < 64 ? 1 : s->hidden / 64;
		plan_note(plan, "heads of 64, as most models have them; --heads says "
		                "otherwise");
		heads = true;
	}
	if (heads)
		s->kv_heads = s->heads;
	plan_count(options, OPT_KV_HEADS, &s->kv_heads);
	if (heads || hidden) {
		if (s->hidden % s->heads)
			fail(STATUS_USAGE,
			     "%lld heads don't divide the hidden size, %lld",
			     (long long)s->heads, (long long)s->hidden);
		s->head_dim = s->hidden / s->heads;
		if (s->norm == NORM_RMS || s->norm == NORM_RMS_FP32)
			s->rotary = s->head_dim;
	}
	if (options->value[OPT_TIED])
		s->tied = true;
}

static void named(const char *name, struct shape *shape)
{
	char nearest[160];
	if (model_find(name, shape, nearest, sizeof(nearest)))
		return;
	if (*nearest)
		fail(STATUS_USAGE, "there is no model '%s'; the nearest are %s", name,
		     nearest);
	fail(STATUS_USAGE, "there is no model '%s'; '--config' takes any config.json",
	     name);
}

/* The head of a model that has a name or a config. */
static void take_task(struct plan *plan, const struct options *options, struct shape *s)
{
	int task = plan_choice(options, OPT_TASK, task_names, TASKS_ASKED);

	if (plan->unknown)
		return;
	if (shape_is_fixed(s) || s->pictures.layers)
		plan_note(plan,
		          "what the convolution's kernels work in is the choice of a "
		          "card's cuDNN, and left out");
	if (task >= 0 && !task_take(s, (enum task)task))
		fail(STATUS_USAGE,
		     "'--task %s' is not known of this kind of model: transformers "
		     "has no such class, or its training is not understood",
		     task_names[task]);
	if (task >= 0)
		return;
	if (s->head == HEAD_NONE)
		plan_note(plan,
		          "the config names a class whose head is not understood: "
		          "it is left out; --task names one that is");
	else if (s->head == HEAD_MASKED && s->head_assumed)
		plan_note(plan,
		          "the config names no class: words (%s) are assumed, as "
		          "transformers' lists of models have it; --task changes it",
		          task_names[TASK_MASKED_LM]);
	else if (s->encoder && options->value[OPT_MODEL])
		plan_note(plan, "with two classes for each sample, as encoders are "
		                "fine-tuned; --task changes it");
}

static void count_weights(struct plan *plan, struct shape *shape, int64_t parameters)
{
	struct model *model = &plan->model;
	char why[256];

	if (shape_check(shape, why, sizeof(why)))
		fail(STATUS_USAGE, "%s", why);
	if (parameters) {
		/* a count that is given is believed; the shape tells the activations */
		model->known = true;
		model->shape = *shape;
		model_add(model, (struct weight){.role = ROLE_ANY,
		                                 .rows = parameters,
		                                 .copies = 1,
		                                 .target = -1});
	} else if (model_from_shape(model, shape)) {
		fail(STATUS_USAGE, "a model of these sizes has too many parameters to "
		                   "count");
	}
}

static void take_config(struct plan *plan, const struct options *options,
                        struct shape *shape)
{
	const char *file = options->value[OPT_CONFIG];
	char why[1400], kind[32];
	int trouble = config_load(file, shape, kind, sizeof(kind), why, sizeof(why));

	plan->unknown = trouble == CONFIG_FOREIGN && options->value[OPT_MEASURE];
	if (trouble == CONFIG_FOREIGN && !plan->unknown)
		fail(STATUS_USAGE, "%s; 'tidemark plan --measure --config %s' tries it",
		     why, file);
	if (trouble && !plan->unknown)
		fail(STATUS_USAGE, "%s", why);
	if (plan->unknown)
		plan_note(plan, "no prediction: %s", why);
	snprintf(plan->model.name, sizeof(plan->model.name), "%s, %s", kind, file);
}

void plan_subject(struct plan *plan, const struct options *options)
{
	struct model *model = &plan->model;
	struct shape shape;
	int64_t parameters = 0;
	bool shaped = shape_options(options);

	refuse_two_subjects(options);
	if (options->value[OPT_TASK] && !options->value[OPT_MODEL] &&
	    !options->value[OPT_CONFIG])
		fail(STATUS_USAGE, "'--task' needs '--model' or '--config'");
	shape_plain(&shape);
	if (options->value[OPT_TRACE]) {
		if (shaped)
			fail(STATUS_USAGE,
			     "a trace has its shape; '--layers' and the like "
			     "go with '--model' or alone");
		plan_from_trace(plan, options);
		return;
	}
	if (options->value[OPT_MODEL]) {
		named(options->value[OPT_MODEL], &shape);
		snprintf(model->name, sizeof(model->name), "%s%s",
		         options->value[OPT_MODEL], shaped ? ", changed" : "");
	} else if (options->value[OPT_CONFIG]) {
		take_config(plan, options, &shape);
	} else if (plan_count(options, OPT_PARAMS, &parameters) && !shaped) {
		snprintf(model->name, sizeof(model->name), "a model");
		model_add(model, (struct weight){.role = ROLE_ANY,
		                                 .rows = parameters,
		                                 .copies = 1,
		                                 .target = -1});
		return;
	} else {
		if (!options->value[OPT_LAYERS] || !options->value[OPT_HIDDEN])
			fail(STATUS_USAGE, "a shape needs '--layers' and '--hidden'");
		snprintf(model->name, sizeof(model->name), "a transformer");
		if (!parameters)
			plan_note(plan,
			          "parameters by V·D + L·(4·D² + 2·D·F) + V·D: no "
			          "biases and norms; --model or --config count all");
	}
	if (options->value[OPT_MODEL] || options->value[OPT_CONFIG])
		take_task(plan, options, &shape);
	if (plan->unknown)
		return;
	if (shaped)
		override(plan, options, &shape);
	count_weights(plan, &shape, parameters);
}
