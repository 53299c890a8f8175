/* plan_trace.c - the model, its dtypes and its optimizer as a trace recorded them. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "fail.h"
#include "model_config.h"
#include "plan.h"
#include "trace.h"

/* Element size by the name that torch gives a dtype; 0 for one that isn't known. */
static int element_bytes(const char *name, enum dtype *dtype)
{
	static const struct {
		const char *name;
		enum dtype dtype;
		int bytes;
	} rows[] = {{"float32", DTYPE_FP32, 4},    {"bfloat16", DTYPE_BF16, 2},
	            {"float16", DTYPE_FP16, 2},    {"float8_e4m3fn", DTYPE_FP8, 1},
	            {"float8_e5m2", DTYPE_FP8, 1}, {"int8", DTYPE_INT8, 1},
	            {"uint8", DTYPE_NF4, 1}};
	for (size_t i = 0; name && i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (strcmp(name, rows[i].name) != 0)
			continue;
		*dtype = rows[i].dtype;
		return rows[i].bytes;
	}
	return 0;
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

static const char parameters_sql[] =
        "SELECT name, shape, dtype, max(bytes) FROM tensor WHERE kind = 'parameter' "
        "AND "
        "bytes > 0 GROUP BY device, coalesce(address, -id) ORDER BY min(id)";

static void read_parameters(struct plan *plan, struct trace *trace)
{
	struct rows *rows = db_rows(trace->db, parameters_sql, "");
	int64_t best = 0, by_dtype[DTYPE_COUNT] = {0};
	enum dtype dtype = DTYPE_FP32;
	enum precision precision;

	while (rows_next(rows)) {
		const char *name = rows_text(rows, 0);
		struct weight weight = {.copies = 1, .target = -1};
		int64_t bytes = rows_number(rows, 3);
		int each = element_bytes(rows_text(rows, 2), &dtype);
		if (!each)
			fail(STATUS_USAGE,
			     "'%s' has parameters of a dtype that plan doesn't "
			     "know, '%.40s'",
			     trace->name, rows_text(rows, 2) ? rows_text(rows, 2) : "");
		if (dtype == DTYPE_NF4)
			fail(STATUS_USAGE,
			     "'%s' has quantised parameters; give its config "
			     "with '--config' and '--param-dtype nf4'",
			     trace->name);
		read_shape(rows_text(rows, 1), bytes / each, &weight);
		weight.role = role_of(name ? name : "", weight.columns);
		if (model_add(&plan->model, weight))
			fail(STATUS_USAGE, "'%s' has too many parameters to count",
			     trace->name);
		by_dtype[dtype] += bytes;
	}
	for (int i = 0; i < DTYPE_COUNT; i++) {
		if (by_dtype[i] <= best)
			continue;
		best = by_dtype[i];
		dtype = (enum dtype)i;
	}
	if (!plan->model.parameters)
		fail(STATUS_USAGE,
		     "'%s' names no parameters: Python told none; give "
		     "'--model' or '--params'",
		     trace->name);
	precision = dtype == DTYPE_BF16   ? PRECISION_BF16
	            : dtype == DTYPE_FP16 ? PRECISION_FP16
	                                  : PRECISION_FP32;
	training_precision(&plan->training, precision);
	plan->precision = precision_names[precision];
}

/* The dtype that most bytes of a kind have; false where there are none. */
static bool dtype_of(struct trace *trace, const char *kind, enum dtype *dtype)
{
	struct rows *rows = db_rows(trace->db,
	                            "SELECT dtype FROM tensor WHERE kind = ?1 GROUP BY "
	                            "dtype ORDER BY sum(bytes) DESC LIMIT 1",
	                            "t", kind);
	bool found;

	if (!rows_next(rows))
		return false;
	found = element_bytes(rows_text(rows, 0), dtype) != 0;
	rows_free(rows);
	return found;
}

static void read_optimizer(struct plan *plan, struct trace *trace, const char *class)
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
		plan->training.optimizer = rows[i].optimizer;
		break;
	}
	if (!dtype_of(trace, "optimizer", &state))
		return;
	if (state != DTYPE_INT8 && state != DTYPE_NF4)
		plan->training.state = state;
	if (plan->training.optimizer == OPTIMIZER_SGD)
		plan->training.optimizer = OPTIMIZER_SGD_MOMENTUM;
}

static void read_config(struct plan *plan, struct trace *trace, const char *config)
{
	char why[512] = "the run recorded no model config", kind[32];
	struct shape shape;

	if (!config || config_parse(trace->name, config, &shape, kind, sizeof(kind),
	                            why, sizeof(why))) {
		plan_note(plan, "no shape: %s", why);
		return;
	}
	plan->model.known = true;
	plan->model.shape = shape;
}

void plan_trace(struct plan *plan, const struct options *options)
{
	struct options file = *options;
	char *words[] = {(char *)(uintptr_t)options->value[OPT_TRACE], NULL};
	struct trace *trace;
	struct rows *rows;

	file.words = words;
	file.count = 1;
	trace = trace_open(&file);
	read_parameters(plan, trace);
	dtype_of(trace, "gradient", &plan->training.gradient);
	rows = db_rows(trace->db,
	               "SELECT model_class, optimizer_class, model_config FROM run",
	               "");
	if (rows_next(rows)) {
		const char *class = rows_text(rows, 0);
		snprintf(plan->model.name, sizeof(plan->model.name), "%s, %s",
		         class ? class : "the model", trace->name);
		read_optimizer(plan, trace, rows_text(rows, 1));
		read_config(plan, trace, rows_text(rows, 2));
		rows_free(rows);
	}
	trace_close(trace);
}
