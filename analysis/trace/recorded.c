/* recorded.c - the model, its dtypes and its optimizer as a trace recorded them.
 * Called from: plan/traced.c, recognise/recognise.c. */
#include "recorded.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "dtype.h"
#include "trace_queries.h"
#include "tasks.h"

/* What the formula calls a dtype of torch's; DTYPE_NONE where it knows none of that name. */
static enum dtype formula_dtype(const char *name)
{
	static const struct {
		const char *name;
		enum dtype dtype;
	} rows[] = {{"float32", DTYPE_FP32},    {"bfloat16", DTYPE_BF16},
	            {"float16", DTYPE_FP16},    {"float8_e4m3fn", DTYPE_FP8},
	            {"float8_e5m2", DTYPE_FP8}, {"int8", DTYPE_INT8},
	            {"uint8", DTYPE_NF4}};
	for (size_t i = 0; name && i < sizeof(rows) / sizeof(rows[0]); i++)
		if (!strcmp(name, rows[i].name))
			return rows[i].dtype;
	return DTYPE_NONE;
}

static enum role role_of(const char *name, int64_t columns)
{
	if (!columns)
		return strstr(name, "bias") ? ROLE_BIAS : ROLE_NORM;
	if (strstr(name, "lm_head"))
		return ROLE_HEAD;
	if (strstr(name, "position") || strstr(name, "wpe"))
		return ROLE_POSITION;
	if (strstr(name, "emb") || strstr(name, "wte"))
		return ROLE_EMBEDDING;
	return strstr(name, "att") ? ROLE_ATTENTION : ROLE_MLP;
}

/* "[768, 3072]": the first size, and the product of the others. */
static void read_shape(const char *text, int64_t elements, struct weight *weight)
{
	int64_t rows = text && *text == '[' ? strtoll(text + 1, NULL, 10) : 0;
	bool matrix = text && strchr(text, ',');

	weight->rows = elements;
	weight->columns = 0;
	if (matrix && rows > 0 && elements % rows == 0) {
		weight->rows = rows;
		weight->columns = elements / rows;
	}
}

static struct point last_look(struct trace *trace)
{
	struct point point = {.step = -1};
	struct rows *rows = db_rows(trace->db, sql_last_look, "");
	if (rows_next(rows)) {
		point.step = rows_number(rows, 0);
		point.ordinal = rows_number(rows, 1);
		rows_free(rows);
	}
	return point;
}

/* One row of sql_parameters as a weight; -1 with one sentence in why. */
static int read_weight(struct trace *trace, struct rows *rows, struct model *model,
                       enum dtype *dtype, char *why, size_t size)
{
	const char *name = rows_text(rows, 0), *type = rows_text(rows, 2);
	struct weight weight = {.copies = 1, .target = -1};
	int64_t each = element_size(type);

	*dtype = formula_dtype(type);
	if (*dtype == DTYPE_NONE) {
		snprintf(why, size,
		         "'%s' has parameters of a dtype that plan doesn't know, "
		         "'%.40s'",
		         trace->name, type ? type : "");
		return -1;
	}
	if (*dtype == DTYPE_NF4 || *dtype == DTYPE_INT8)
		weight.bits = dtype_bits(*dtype);
	model->quantised |= *dtype == DTYPE_NF4;
	if (*dtype == DTYPE_NF4) /* its shape is that of the packed bytes */
		weight.rows = 2 * rows_number(rows, 3);
	else
		read_shape(rows_text(rows, 1), rows_number(rows, 3) / each, &weight);
	weight.role = role_of(name ? name : "", weight.columns || weight.bits);
	weight.frozen = !rows_number_or(rows, 4, 1);
	if (!model_add(model, weight))
		return 0;
	snprintf(why, size, "'%s' has too many parameters to count", trace->name);
	return -1;
}

static int read_parameters(struct trace *trace, const struct point *before,
                           struct model *model, struct training *training, char *why,
                           size_t size)
{
	struct rows *rows =
	        db_rows(trace->db, sql_parameters, "ii", before->step, before->ordinal);
	int64_t best = 0, by_dtype[DTYPE_COUNT] = {0};
	enum dtype dtype = DTYPE_FP32;

	while (rows_next(rows)) {
		if (read_weight(trace, rows, model, &dtype, why, size)) {
			rows_free(rows);
			return -1;
		}
		if (dtype != DTYPE_NF4 && dtype != DTYPE_INT8)
			by_dtype[dtype] +=
			        rows_number(rows, 3) / 2; /* halved: no overflow */
	}
	for (int i = 0; i < DTYPE_COUNT; i++) {
		if (by_dtype[i] <= best)
			continue;
		best = by_dtype[i];
		dtype = (enum dtype)i;
	}
	if (!model->parameters) {
		snprintf(why, size,
		         "'%s' names no parameters: Python told none; give "
		         "'--model' or '--params'",
		         trace->name);
		return -1;
	}
	training_precision(training, dtype == DTYPE_BF16   ? PRECISION_BF16
	                             : dtype == DTYPE_FP16 ? PRECISION_FP16
	                                                   : PRECISION_FP32);
	return 0;
}

/* The dtype that most bytes of a kind have; false where there are none. */
static bool dtype_of(struct trace *trace, const char *kind, enum dtype *dtype)
{
	struct rows *rows = db_rows(trace->db,
	                            "SELECT dtype FROM tensor WHERE kind = ?1 GROUP BY "
	                            "dtype ORDER BY sum(bytes) DESC LIMIT 1",
	                            "t", kind);
	enum dtype most;

	if (!rows_next(rows))
		return false;
	most = formula_dtype(rows_text(rows, 0));
	rows_free(rows);
	if (most != DTYPE_NONE)
		*dtype = most;
	return most != DTYPE_NONE;
}

static void read_optimizer(struct training *training, struct trace *trace,
                           const char *class)
{
	static const struct {
		const char *part;
		enum optimizer optimizer;
	} rows[] = {
	        {"Adam8bit", OPTIMIZER_ADAM8BIT},   {"AdamW8bit", OPTIMIZER_ADAM8BIT},
	        {"AdamW", OPTIMIZER_ADAMW},         {"Adam", OPTIMIZER_ADAM},
	        {"Adafactor", OPTIMIZER_ADAFACTOR}, {"Lion", OPTIMIZER_LION},
	        {"Muon", OPTIMIZER_MUON},           {"SGD", OPTIMIZER_SGD}};
	enum dtype state;

	for (size_t i = 0; class && i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (!strstr(class, rows[i].part))
			continue;
		training->optimizer = rows[i].optimizer;
		break;
	}
	if (!dtype_of(trace, "optimizer", &state))
		return;
	if (state != DTYPE_INT8 && state != DTYPE_NF4)
		training->state = state;
	if (training->optimizer == OPTIMIZER_SGD)
		training->optimizer = OPTIMIZER_SGD_MOMENTUM;
}

/* The class that ran says more of its head than its config. */
static void read_head(struct model *model, const char *class)
{
	int task = class ? task_of_class(class) : -1;

	if (task >= 0 && task < TASK_COUNT)
		task_take(&model->shape, (enum task)task);
	else if (model->shape.encoder)
		model->shape.head = HEAD_NONE;
}

static void read_config(struct model *model, struct trace *trace, const char *config,
                        char *shapeless, size_t size)
{
	char kind[32];

	if (!config)
		snprintf(shapeless, size, "the run recorded no model config");
	else
		model->known = !config_parse(trace->name, config, &model->shape, kind,
		                             sizeof(kind), shapeless, size);
	if (!model->known ||
	    (!model->shape.decoder_layers && !model->shape.pictures.layers &&
	     !shape_is_fixed(&model->shape)))
		return;
	/* what a run of these keeps is not told apart by the formula */
	model->known = false;
	snprintf(shapeless, size,
	         "the layers of a '%s' are not all alike, or read no words", kind);
}

int trace_model(struct trace *trace, const struct point *before, struct model *model,
                struct training *training, char *shapeless, size_t shapeless_size,
                char *why, size_t size)
{
	struct point last = last_look(trace);
	struct rows *rows;

	shapeless[0] = 0;
	if (read_parameters(trace, before ? before : &last, model, training, why, size))
		return -1;
	dtype_of(trace, "gradient", &training->gradient);
	rows = db_rows(trace->db,
	               "SELECT model_class, optimizer_class, model_config FROM run",
	               "");
	if (rows_next(rows)) {
		const char *class = rows_text(rows, 0);
		snprintf(model->name, sizeof(model->name), "%s, %s",
		         class ? class : "the model", trace->name);
		read_optimizer(training, trace, rows_text(rows, 1));
		read_config(model, trace, rows_text(rows, 2), shapeless,
		            shapeless_size);
		if (model->known)
			read_head(model, class);
		rows_free(rows);
	}
	return 0;
}
