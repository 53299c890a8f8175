/* formula.c - parameters, gradients and optimizer state; the sum of the buckets.
 *
 * Each bucket is computed weight by weight, so that what depends on a shape (quantised
 * blocks, factored or 8-bit states, adapters) comes out exactly. Sharding divides each
 * term, rounded up.
 * Called from: commands/, plan/, recognise/, reconcile/. */
#include "formula.h"
#include "states.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "activation.h"
#include "terms.h"

#define TORCH_SOURCE "PyTorch: a parameter and its .grad are tensors of their dtype"
#define ZERO_SOURCE  "Rajbhandari et al. 2020 (ZeRO), section 5: each rank keeps 1/world"
#define LORA_SOURCE  "Hu et al. 2021 (LoRA): r x (in + out) for each adapted matrix"

/* A term divided among the ranks where its bucket is sharded. */
static struct formula_term *sharded(struct formula *formula,
                                    const struct training *training,
                                    enum formula_bucket bucket, int64_t bytes,
                                    const char *source, const char *name)
{
	static const int stage[] = {[FORMULA_PARAMETER] = 3,
	                            [FORMULA_GRADIENT] = 2,
	                            [FORMULA_OPTIMIZER] = 1};
	bool divided = training->zero >= stage[bucket] && training->world > 1;
	bool away =
	        training->offload != OFFLOAD_NONE &&
	        (bucket == FORMULA_OPTIMIZER ||
	         (bucket == FORMULA_PARAMETER && training->offload == OFFLOAD_PARAMS));
	if (divided)
		bytes = formula_blocks(bytes, training->world);
	return formula_term(formula, away ? FORMULA_HOST : bucket, bytes,
	                    divided ? ZERO_SOURCE : source, "%s%s", name,
	                    away ? ", in host memory" : "");
}

static void shard_note(struct formula_term *term, const struct training *training,
                       int stage)
{
	size_t length = strlen(term->numbers);
	if (training->zero < stage || training->world < 2)
		return;
	snprintf(term->numbers + length, sizeof(term->numbers) - length,
	         " / %lld ranks", (long long)training->world);
	length = strlen(term->formula);
	snprintf(term->formula + length, sizeof(term->formula) - length, " / world");
}

static bool quantised(const struct model *model, const struct training *training,
                      const struct weight *weight)
{
	bool low =
	        training->parameter == DTYPE_NF4 || training->parameter == DTYPE_INT8;
	return low && (!model->known || weight->role == ROLE_ATTENTION ||
	               weight->role == ROLE_MLP);
}

static void quantisation(const struct training *training, int64_t elements,
                         struct formula *formula)
{
	int64_t scales = formula_blocks(elements, 64), bytes;
	struct formula_term *term;

	if (training->parameter != DTYPE_NF4 || !elements)
		return;
	bytes = formula_product(formula, 4, scales);
	if (training->double_quant)
		bytes = scales + 4 * formula_blocks(scales, 256);
	term = sharded(
	        formula, training, FORMULA_PARAMETER, bytes,
	        "Dettmers et al. 2023 (QLoRA), section 3: blocks of 64, then of 256",
	        "quantisation constants");
	if (training->double_quant)
		formula_text(term, "N/64 + 4 B × N/64/256",
		             "%s / 64 + 4 B × %s / 16,384", number(elements).s,
		             number(elements).s);
	else
		formula_text(term, "4 B × N/64", "4 B × %s / 64", number(elements).s);
	shard_note(term, training, 3);
}

/* One term for each role that the weights of the model play. */
static void parameters(const struct model *model, const struct training *training,
                       struct formula *formula)
{
	int64_t low = 0;
	for (int role = 0; role < ROLE_COUNT; role++) {
		int64_t elements = 0, less = 0;
		enum dtype dtype = training->parameter;
		struct formula_term *term;
		for (size_t i = 0; i < model->count; i++) {
			const struct weight *weight = &model->weights[i];
			int64_t n = weight_elements(weight);
			if ((int)weight->role != role)
				continue;
			elements += n;
			if (weight->bits)
				less += formula_bits(formula, n,
				                     dtype_bits(dtype) - weight->bits);
			else if (quantised(model, training, weight))
				low += n;
			else if (dtype == DTYPE_NF4 || dtype == DTYPE_INT8)
				dtype = training->residual;
		}
		if (!elements)
			continue;
		term = sharded(formula, training, FORMULA_PARAMETER,
		               formula_bits(formula, elements, dtype_bits(dtype)) -
		                       less,
		               TORCH_SOURCE, role_names[role]);
		formula_text(term, "bytes(dtype) × N", "%s × %s", width_text(dtype),
		             number(elements).s);
		shard_note(term, training, 3);
	}
	quantisation(training, low, formula);
}

/* Under full sharding the layer that computes is whole for a moment. */
static void gathered(const struct model *model, const struct training *training,
                     struct formula *formula)
{
	int64_t elements = 0;
	struct formula_term *term;

	if (!model->known || (training->offload != OFFLOAD_PARAMS &&
	                      (training->zero < 3 || training->world < 2)))
		return;
	for (size_t i = 0; i < model->count; i++) {
		const struct weight *weight = &model->weights[i];
		if (weight->copies >= model->shape.layers)
			elements += weight_elements(weight) / model->shape.layers;
		else if (weight->copies == model->shape.experts.sparse)
			elements += weight_elements(weight) / weight->copies;
	}
	if (!elements)
		return;
	term = formula_term(
	        formula, FORMULA_PARAMETER,
	        formula_bits(formula, elements, dtype_bits(training->parameter)),
	        "FSDP and ZeRO-3 gather one layer before it computes",
	        "one layer, gathered");
	term->temporary = true;
	formula_text(term, "bytes(dtype) × N of a layer", "%s × %s",
	             width_text(training->parameter), number(elements).s);
}

/* Elements of the adapters made for one weight; 0 where it isn't a target. */
static int64_t adapter(const struct model *model, const struct weight *weight,
                       const struct training *training, struct formula *formula)
{
	struct sides sides = lora_sides_of(&model->shape, weight, training);

	return formula_product(
	        formula,
	        formula_product(formula, formula_sum(formula, sides.in, sides.out),
	                        lora_rank_of(&sides, training)),
	        weight->copies);
}

static bool has_adapters(const struct training *training)
{
	return training->lora_rank || training->lora_parameters;
}

static int64_t adapters(const struct model *model, const struct training *training,
                        struct formula *formula)
{
	int64_t elements = training->lora_parameters;
	struct formula_term *term;

	for (size_t i = 0; i < model->count; i++)
		elements = formula_sum(
		        formula, elements,
		        adapter(model, &model->weights[i], training, formula));
	if (!elements)
		return 0;
	term = sharded(formula, training, FORMULA_PARAMETER,
	               formula_bits(formula, elements, dtype_bits(training->adapter)),
	               LORA_SOURCE, "adapters");
	formula_text(term, "bytes(dtype) × r × (in + out) of each target", "%s × %s",
	             width_text(training->adapter), number(elements).s);
	shard_note(term, training, 3);
	return elements;
}

static void gradients(const struct training *training, struct formula *formula)
{
	enum dtype dtype =
	        has_adapters(training) ? training->adapter : training->gradient;
	struct formula_term *term;

	if (training->gradient == DTYPE_NONE)
		return;
	term = sharded(formula, training, FORMULA_GRADIENT,
	               formula_bits(formula, formula->trainable, dtype_bits(dtype)),
	               TORCH_SOURCE, "gradients");
	formula_text(term, "bytes(dtype) × trainable", "%s × %s", width_text(dtype),
	             number(formula->trainable).s);
	shard_note(term, training, 2);
}

/* What an optimizer keeps for n weights of one shape, added to its two kinds of bytes.
 */
struct states {
	int64_t plain;  /* elements kept in the state's dtype */
	int64_t small;  /* elements that stay in fp32: too small for 8 bits */
	int64_t eight;  /* elements of one byte */
	int64_t blocks; /* their scales, four bytes each */
};

static void add(struct formula *formula, int64_t *sum, int64_t each, int64_t copies)
{
	*sum = formula_sum(formula, *sum, formula_product(formula, each, copies));
}

static void count_states(struct formula *formula, enum optimizer optimizer,
                         const struct weight *weight, struct states *states)
{
	struct state_piece piece[STATE_PIECES];
	int count = states_of(optimizer, weight, piece);

	for (int i = 0; i < count; i++) {
		int64_t *sums[] = {[STATE_PLAIN] = &states->plain,
		                   [STATE_SMALL] = &states->small,
		                   [STATE_BYTE] = &states->eight,
		                   [STATE_SCALE] = &states->blocks};
		add(formula, sums[piece[i].kind], piece[i].elements, piece[i].copies);
	}
}

static const char *state_source(enum optimizer optimizer)
{
	static const char *const sources[OPTIMIZER_COUNT] = {
	        [OPTIMIZER_SGD_MOMENTUM] = "torch.optim.SGD: one momentum buffer",
	        [OPTIMIZER_ADAM] = "Kingma and Ba 2015: two moments for each parameter",
	        [OPTIMIZER_ADAMW] = "torch.optim.AdamW: exp_avg and exp_avg_sq",
	        [OPTIMIZER_ADAM8BIT] = "Dettmers et al. 2022: two moments of one byte",
	        [OPTIMIZER_ADAFACTOR] =
	                "Shazeer and Stern 2018: a row and a column factor",
	        [OPTIMIZER_LION] = "Chen et al. 2023 (Lion): one momentum",
	        [OPTIMIZER_MUON] = "Jordan 2024 (Muon): momentum for hidden matrices, "
	                           "AdamW's two moments for the rest",
	};
	return sources[optimizer];
}

static void print_states(const struct training *training, const struct states *states,
                         struct formula *formula)
{
	const char *source = state_source(training->optimizer);
	struct formula_term *term;

	if (states->plain && training->state != DTYPE_NONE) {
		term = sharded(formula, training, FORMULA_OPTIMIZER,
		               formula_bits(formula, states->plain,
		                            dtype_bits(training->state)),
		               source, "optimizer states");
		formula_text(term, "bytes(dtype) × state elements", "%s × %s",
		             width_text(training->state), number(states->plain).s);
		shard_note(term, training, 1);
	}
	if (states->eight) {
		term = sharded(formula, training, FORMULA_OPTIMIZER, states->eight,
		               source, "8-bit optimizer states");
		formula_text(term, "1 B × 2 N", "1 B × %s", number(states->eight).s);
		shard_note(term, training, 1);
		term = sharded(formula, training, FORMULA_OPTIMIZER,
		               formula_product(formula, 4, states->blocks),
		               "bitsandbytes: an fp32 scale for each block of 256",
		               "scales of the 8-bit states");
		formula_text(term, "4 B × 2 N/256", "4 B × %s",
		             number(states->blocks).s);
		shard_note(term, training, 1);
	}
	if (states->small) {
		term = sharded(
		        formula, training, FORMULA_OPTIMIZER,
		        formula_product(formula, 4, states->small),
		        "bitsandbytes: tensors under 4,096 elements stay in fp32",
		        "states of small tensors");
		formula_text(term, "4 B × 2 N of small tensors", "4 B × %s",
		             number(states->small).s);
		shard_note(term, training, 1);
	}
}

static void optimizer(const struct model *model, const struct training *training,
                      struct formula *formula)
{
	struct states states = {0};

	if (training->master != DTYPE_NONE) {
		struct formula_term *term =
		        sharded(formula, training, FORMULA_OPTIMIZER,
		                formula_bits(formula, formula->trainable,
		                             dtype_bits(training->master)),
		                "Micikevicius et al. 2018, section 3.1: a master copy "
		                "of the weights",
		                "master weights");
		formula_text(term, "bytes(dtype) × trainable", "%s × %s",
		             width_text(training->master),
		             number(formula->trainable).s);
		shard_note(term, training, 1);
	}
	for (size_t i = 0; i < model->count; i++) {
		const struct weight *weight = &model->weights[i];
		struct weight half = *weight;
		struct sides sides = lora_sides_of(&model->shape, weight, training);
		if (weight->frozen && !has_adapters(training))
			continue;
		if (!has_adapters(training)) {
			count_states(formula, training->optimizer, weight, &states);
		} else if (sides.in) {
			half.rows = sides.out;
			half.stacked = 0;
			half.columns = lora_rank_of(&sides, training); /* B: out x r */
			count_states(formula, training->optimizer, &half, &states);
			half.rows = sides.in; /* A: r x in */
			count_states(formula, training->optimizer, &half, &states);
		}
	}
	if (training->lora_parameters) {
		struct weight all = {.role = ROLE_ANY,
		                     .rows = training->lora_parameters,
		                     .copies = 1,
		                     .target = -1};
		count_states(formula, training->optimizer, &all, &states);
	}
	print_states(training, &states, formula);
}

static void add_up(const struct training *training, struct formula *formula)
{
	for (int i = 0; i < formula->count; i++) {
		const struct formula_term *term = &formula->terms[i];
		int64_t *bucket = &formula->bucket[term->bucket];
		*bucket = formula_sum(formula, *bucket, term->bytes);
	}
	for (int i = FORMULA_PARAMETER; i <= FORMULA_ACTIVATION; i++)
		formula->total =
		        formula_sum(formula, formula->total, formula->bucket[i]);
	if (training->overhead_ppm != 1000000 && !formula->overflow) {
		__int128 more = (__int128)formula->total *
		                (training->overhead_ppm - 1000000) / 1000000;
		if (more > INT64_MAX - formula->total)
			formula->overflow = true;
		struct formula_term *term = formula_term(
		        formula, FORMULA_OVERHEAD, (int64_t)more,
		        "note 000, step 6: a safety factor on the sum", "overhead");
		formula_text(term, "(factor - 1) × sum", "(%.6g - 1) × %s B",
		             (double)training->overhead_ppm / 1e6,
		             number(formula->total).s);
		formula->bucket[FORMULA_OVERHEAD] = (int64_t)more;
		formula->total = formula_sum(formula, formula->total, (int64_t)more);
	}
}

int formula_compute(const struct model *model, const struct training *training,
                    struct formula *result, char *why, size_t size)
{
	int64_t extra;

	memset(result, 0, sizeof(*result));
	if (training->optimizer == OPTIMIZER_ADAFACTOR && !training->inference &&
	    !model->known && model->count == 1 && !model->weights[0].columns) {
		snprintf(why, size,
		         "adafactor's state depends on the shapes of the "
		         "matrices; give --model, --config or --trace");
		return -1;
	}
	parameters(model, training, result);
	gathered(model, training, result);
	extra = adapters(model, training, result);
	result->parameters = formula_sum(result, model->parameters, extra);
	result->trainable = has_adapters(training) ? extra : model_trained(model);
	if (!training->inference) {
		gradients(training, result);
		optimizer(model, training, result);
	}
	formula_activations(model, training, result);
	add_up(training, result);
	if (!result->overflow)
		return 0;
	snprintf(why, size, "these sizes are too large: the sum exceeds 8 EiB");
	return -1;
}

int64_t formula_largest_batch(const struct model *model,
                              const struct training *training, int64_t bytes)
{
	struct training tried = *training;
	struct formula formula;
	char why[128];
	int64_t fits = 0, beyond = 1;

	tried.batch = 0;
	if (formula_compute(model, &tried, &formula, why, sizeof(why)))
		return 0;
	int64_t fixed = formula.total;
	for (;; beyond *= 2) {
		tried.batch = beyond;
		if (formula_compute(model, &tried, &formula, why, sizeof(why)) ||
		    formula.total > bytes)
			break;
		if (formula.total == fixed)
			return -1;
		fits = beyond;
		if (beyond > INT64_C(1) << 50)
			return -1;
	}
	while (beyond - fits > 1) {
		tried.batch = fits + (beyond - fits) / 2;
		if (formula_compute(model, &tried, &formula, why, sizeof(why)) ||
		    formula.total > bytes)
			beyond = tried.batch;
		else
			fits = tried.batch;
	}
	return fits;
}
