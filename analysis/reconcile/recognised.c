/* recognised.c - what was trained and how, recognised from the trace.
 * Called from: commands/reconcile.c. */
#include "reconcile.h"

#include <stdlib.h>
#include <string.h>

#include "dtype.h"
#include "fail.h"
#include "heap.h"
#include "reconcile_queries.h"
#include "recorded.h"
#include "values.h"

struct seen {
	struct trace *trace;
	int64_t device, first, last;
};

/* The sizes of "[4, 48, 72]"; their number. */
static int read_dims(const char *dims, int64_t *sizes, int room)
{
	int count = 0;
	const char *at = dims ? dims + 1 : "";

	while (count < room && *at >= '0' && *at <= '9') {
		char *end;
		sizes[count++] = strtoll(at, &end, 10);
		at = end + strspn(end, ", ");
	}
	return count;
}

/* Batch and sequence from shapes: with a known model a tensor [B, S, hidden], which says
 * what the model was given of what came in; else the first size of that. */
static void batch_from(struct recognised *recognised, struct rows *rows)
{
	struct training *t = &recognised->training;

	while (rows_next(rows)) {
		int64_t sizes[4];
		const char *dims = rows_text(rows, 0), *dtype = rows_text(rows, 1);
		int count = read_dims(dims, sizes, 4);
		bool stream = recognised->model.known && count == 3 &&
		              sizes[2] == recognised->model.shape.hidden;
		bool ids = recognised->model.known && count == 2 && dtype &&
		           !strcmp(dtype, "int64");
		bool input = !recognised->model.known && count >= 1 &&
		             rows_number(rows, 2) == ROW_INPUT;
		if (recognised->batch_known || sizes[0] < 1 ||
		    (!stream && !ids && !input))
			continue;
		t->batch = sizes[0];
		if (stream || ids)
			t->seq = sizes[1];
		recognised->batch_known = true;
		recognised->seq_known = stream || ids;
		snprintf(recognised->batch_from, sizeof(recognised->batch_from),
		         "%s %s", dims, dtype ? dtype : "");
	}
}

static void read_batch(const struct seen *seen, struct recognised *recognised)
{
	batch_from(recognised,
	           db_rows(seen->trace->db, sql_step_shapes, "iiii", seen->device,
	                   seen->first, seen->last,
	                   (int64_t)(recognised->model.known ? ROW_ACTIVATION
	                                                     : ROW_INPUT)));
	if (recognised->batch_known)
		return;
	/* Made before the loop, or before the first forward. */
	batch_from(recognised,
	           db_rows(seen->trace->db, sql_input_shapes, "i", seen->device));
}

static void read_precision(const struct seen *seen, struct recognised *recognised)
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

static void read_kinds(const struct seen *seen, struct recognised *recognised)
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
	t->dropout = model->known && model->shape.dropout && dropout;
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

static void replace_shape(struct recognised *recognised, const struct options *options)
{
	char nearest[160];
	struct shape shape;

	if (!options->value[OPT_MODEL])
		return;
	if (!model_find(options->value[OPT_MODEL], &shape, nearest, sizeof(nearest)))
		fail(STATUS_USAGE,
		     *nearest ? "there is no model '%s'; the nearest are %s"
		              : "there is no model '%s'%s",
		     options->value[OPT_MODEL], nearest);
	recognised->model.shape = shape;
	recognised->model.known = true;
	recognised->shapeless[0] = 0;
	snprintf(recognised->config, sizeof(recognised->config), "--model %.40s",
	         options->value[OPT_MODEL]);
}

static void override(struct recognised *recognised, const struct options *options)
{
	struct training *t = &recognised->training;
	int optimizer =
	        plan_choice(options, OPT_OPTIMIZER, optimizer_names, OPTIMIZER_COUNT);
	int checkpoint = plan_choice(options, OPT_CHECKPOINT, checkpoint_names,
	                             CHECKPOINT_COUNT);
	int attention =
	        plan_choice(options, OPT_ATTENTION, attention_names, ATTENTION_COUNT);

	if (optimizer >= 0) {
		t->optimizer = (enum optimizer)optimizer;
		recognised->by_states = false;
	}
	if (checkpoint >= 0)
		t->checkpoint = (enum checkpoint)checkpoint;
	if (attention >= 0)
		t->attention = (enum attention)attention;
	if (plan_count(options, OPT_BATCH, &t->batch))
		snprintf(recognised->batch_from, sizeof(recognised->batch_from),
		         "--batch");
	recognised->batch_known |= options->value[OPT_BATCH] != NULL;
	recognised->seq_known |= plan_count(options, OPT_SEQ, &t->seq);
}

void recognise(struct trace *trace, const struct options *options,
               const struct device *device, const struct point *point,
               struct recognised *recognised)
{
	struct step step = trace_step(trace, point->step);
	struct seen seen = {.trace = trace,
	                    .device = device->id,
	                    .first = step.first,
	                    .last = step.last};
	char why[512];

	memset(recognised, 0, sizeof(*recognised));
	recognised->device = device;
	training_default(&recognised->training, PRECISION_FP32);
	if (trace_model(trace, point, &recognised->model, &recognised->training,
	                recognised->shapeless, sizeof(recognised->shapeless), why,
	                sizeof(why))) {
		if (db_number(trace->db, 0,
		              "SELECT count(*) FROM tensor WHERE kind = 'parameter'"))
			fail(STATUS_USAGE, "%s", why);
		count_blocks(trace, device, recognised);
	}
	if (!recognised->model.parameters)
		fail(STATUS_USAGE,
		     "'%s' has no parameters on %s at its peak: nothing to set against "
		     "the formula",
		     trace->name, device->name);
	if (!recognised->tensors)
		recognised->tensors = (int64_t)recognised->model.count;
	recognised->trainable = model_trained(&recognised->model);
	if (recognised->model.known)
		snprintf(recognised->config, sizeof(recognised->config),
		         "the run's model config");
	replace_shape(recognised, options);
	read_optimizer(trace, recognised);
	if (recognised->model.known)
		recognised->training.seq = recognised->model.shape.context;
	read_batch(&seen, recognised);
	read_precision(&seen, recognised);
	read_kinds(&seen, recognised);
	override(recognised, options);
}

void recognised_free(struct recognised *recognised)
{
	model_free(&recognised->model);
}
