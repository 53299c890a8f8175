/* recognise.c - what was trained and how, recognised from the trace.
 * Called from: commands/, plan/, reconcile/. */
#include "recognise.h"

#include <stdio.h>
#include <string.h>

#include "dtype.h"
#include "losses.h"
#include "recognise_queries.h"
#include "recorded.h"

static void read_precision(const struct step_rows *seen, struct recognised *recognised)
{
	struct training *t = &recognised->training;
	struct rows *rows = db_rows(seen->trace->db, sql_multiplied_in, "iii",
	                            seen->device, seen->first, seen->last);
	char dtype[32] = "";

	if (rows_next(rows)) {
		const char *name = rows_text(rows, 0);
		snprintf(dtype, sizeof(dtype), "%s", name ? name : "");
		rows_free(rows);
	}
	if (t->parameter != DTYPE_FP32 ||
	    (strcmp(dtype, "bfloat16") != 0 && strcmp(dtype, "float16") != 0))
		return;
	t->activation = strcmp(dtype, "float16") ? DTYPE_BF16 : DTYPE_FP16;
	rows = db_rows(seen->trace->db, sql_autocast, "iii", seen->device, seen->first,
	               seen->last);
	rows_next(rows);
	t->autocast = rows_number(rows, 0);
	rows_free(rows);
	if (!t->autocast)
		t->residual = t->activation;
}

static void read_kinds(const struct step_rows *seen, struct recognised *recognised)
{
	struct training *t = &recognised->training;
	const struct model *model = &recognised->model;
	struct rows *rows = db_rows(seen->trace->db, sql_kinds, "iii", seen->device,
	                            seen->first, seen->last);
	bool attention, softmax, dropout;

	rows_next(rows);
	recognised->recompute = rows_number(rows, 0);
	attention = rows_number(rows, 1);
	softmax = rows_number(rows, 2);
	dropout = rows_number(rows, 3);
	rows_free(rows);
	if (recognised->recompute && model->known)
		t->checkpoint = CHECKPOINT_FULL;
	if (!attention && softmax)
		t->attention = ATTENTION_MATH;
	t->dropout = model->known && dropout &&
	             (model->shape.dropout || model->shape.attention_dropout);
}

static void read_outputs(const struct step_rows *seen, struct recognised *recognised)
{
	const struct model *model = &recognised->model;
	struct rows *rows;
	bool made, held;

	if (!model->known || !shape_has_words(&model->shape))
		return;
	rows = db_rows(seen->trace->db, sql_outputs, "iiii", seen->device, seen->first,
	               seen->last, model->shape.vocab);
	rows_next(rows);
	made = rows_number(rows, 0);
	held = rows_number(rows, 1);
	rows_free(rows);
	recognised->training.loss_alone = made && !held;
}

/* Adagrad, RMSprop, ...: the formula has no such name, but the states can be counted.
 */
static void count_states(struct trace *trace, struct recognised *recognised)
{
	int64_t states = db_number(trace->db, 0,
	                           "SELECT sum(bytes) FROM tensor WHERE kind = "
	                           "'optimizer' AND name NOT LIKE '% step'");
	int64_t each =
	        recognised->trainable * dtype_bits(recognised->training.state) / 8;
	int64_t n = each ? (states + each / 2) / each : 0;

	recognised->by_states = true;
	recognised->training.optimizer = n == 0   ? OPTIMIZER_SGD
	                                 : n == 1 ? OPTIMIZER_SGD_MOMENTUM
	                                          : OPTIMIZER_ADAM;
}

static void read_optimizer(struct trace *trace, struct recognised *recognised)
{
	static const char *const names[] = {"Adam", "Adafactor", "Lion", "Muon", "SGD"};
	struct rows *rows =
	        db_rows(trace->db, "SELECT optimizer_class, model_class FROM run", "");

	if (rows_next(rows)) {
		const char *name = rows_text(rows, 0), *class = rows_text(rows, 1);
		snprintf(recognised->class, sizeof(recognised->class), "%s",
		         class ? class : "");
		snprintf(recognised->optimizer, sizeof(recognised->optimizer), "%s",
		         name ? name : "");
		rows_free(rows);
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strstr(recognised->optimizer, names[i]))
			return;
	count_states(trace, recognised);
}

/* Without Python the blocks themselves are counted: AccumulateGrad named them. */
static void count_blocks(struct trace *trace, const struct device *device,
                         struct recognised *recognised)
{
	struct rows *rows = db_rows(trace->db, sql_parameter_blocks, "i", device->id);
	int64_t by_width[9] = {0};

	while (rows_next(rows)) {
		int64_t width = element_size(rows_text(rows, 1));
		int64_t elements = rows_number(rows, 0) / (width ? width : 4);
		by_width[width ? width : 4] += elements;
		if (elements &&
		    !model_add(&recognised->model, (struct weight){.role = ROLE_ANY,
		                                                   .rows = elements,
		                                                   .copies = 1,
		                                                   .target = -1}))
			recognised->tensors++;
	}
	if (by_width[2] > by_width[4])
		training_precision(&recognised->training, PRECISION_BF16);
	recognised->from_blocks = true;
	snprintf(recognised->shapeless, sizeof(recognised->shapeless),
	         "Python told no names and no config");
}

/* Who shares the training. FSDP2 gives classes a name of its own. */
static void read_sharing(struct trace *trace, struct recognised *recognised)
{
	int64_t world =
	        db_number(trace->db, 1, "SELECT coalesce(world_size, 1) FROM run");

	recognised->world = world > 1 ? world : 1;
	recognised->sharded =
	        world > 1 &&
	        db_number(trace->db, 0,
	                  "SELECT EXISTS (SELECT 1 FROM module WHERE class "
	                  "GLOB 'FSDP?*')");
	if (world > 1 && db_number(trace->db, 0,
	                           "SELECT EXISTS (SELECT 1 FROM module WHERE class = "
	                           "'DistributedDataParallel')"))
		recognised->training.world = world; /* and each has all of it */
}

/* What a config's shape has, to be held against what the run has. */
static int64_t count_shape(const struct shape *shape)
{
	struct model model = {0};
	int64_t parameters = model_from_shape(&model, shape) ? 0 : model.parameters;

	model_free(&model);
	return parameters;
}

static void take_shape(struct recognised *recognised, const struct given_shape *given)
{
	if (given) {
		recognised->model.shape = *given->shape;
		recognised->model.known = true;
		recognised->shapeless[0] = 0;
	}
	if (!recognised->model.known)
		return;
	snprintf(recognised->config, sizeof(recognised->config), "%s",
	         given ? given->source : "the run's model config");
	recognised->config_parameters = count_shape(&recognised->model.shape);
	recognised->training.seq = recognised->model.shape.context;
}

int recognise(struct trace *trace, const struct device *device,
              const struct point *point, const struct given_shape *given,
              struct recognised *recognised, char *why, size_t size)
{
	struct step step = trace_step(trace, point->step);
	struct step_rows seen = {.trace = trace,
	                         .device = device->id,
	                         .first = step.first,
	                         .last = step.last};

	memset(recognised, 0, sizeof(*recognised));
	recognised->device = device;
	recognised->taken = -1;
	training_default(&recognised->training, PRECISION_FP32);
	if (trace_model(trace, point, &recognised->model, &recognised->training,
	                recognised->shapeless, sizeof(recognised->shapeless), why,
	                size)) {
		if (db_number(trace->db, 0,
		              "SELECT count(*) FROM tensor WHERE kind = 'parameter'"))
			return -1;
		count_blocks(trace, device, recognised);
	}
	if (!recognised->model.parameters) {
		snprintf(why, size,
		         trace_is_imported(trace)
		                 ? "'%s' was imported from a snapshot, which does not "
		                   "say which blocks on %s are parameters; the formula "
		                   "needs to know"
		                 : "'%s' has no parameters on %s at its peak, so the "
		                   "formula has nothing to be compared with",
		         trace->name, device->name);
		return -1;
	}
	if (!recognised->tensors)
		recognised->tensors = (int64_t)recognised->model.count;
	recognised->trainable = model_trained(&recognised->model);
	take_shape(recognised, given);
	read_optimizer(trace, recognised);
	read_sharing(trace, recognised);
	read_precision(&seen, recognised);
	read_kinds(&seen, recognised);
	read_outputs(&seen, recognised);
	if (step.micro_steps > 1)
		recognised->training.accumulate = step.micro_steps;
	claims_read(&seen, recognised);
	claims_choose(recognised, point->allocated);
	return 0;
}

void recognised_free(struct recognised *recognised)
{
	model_free(&recognised->model);
}
