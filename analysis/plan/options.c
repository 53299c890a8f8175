/* options.c - the training configuration from options, and what contradicts.
 * Called from: commands/plan.c. */
#include "plan.h"

#include <stdlib.h>
#include <string.h>

#include "fail.h"
#include "heap.h"
#include "quantity.h"
#include "subject.h"
#include "text.h"
#include "values.h"

static void refuse_together(const struct options *options, enum option_id a,
                            enum option_id b, const char *why)
{
	if (options->value[a] && options->value[b])
		fail(STATUS_USAGE, "'--%s' and '--%s' contradict each other: %s",
		     option_name(a), option_name(b), why);
}

static void need(const struct options *options, enum option_id a, enum option_id b)
{
	if (options->value[a] && !options->value[b])
		fail(STATUS_USAGE, "'--%s' needs '--%s'", option_name(a),
		     option_name(b));
}

static void refuse_contradictions(const struct options *options)
{
	static const enum option_id training_only[] = {
	        OPT_OPTIMIZER,  OPT_GRAD_DTYPE, OPT_MASTER_DTYPE, OPT_STATE_DTYPE,
	        OPT_CHECKPOINT, OPT_LORA_RANK,  OPT_LORA_PARAMS,  OPT_OPTIMIZER_IMPL,
	        OPT_CLIP,       OPT_ACCUMULATE};

	for (size_t i = 0; i < sizeof(training_only) / sizeof(training_only[0]); i++)
		refuse_together(options, OPT_INFERENCE, training_only[i],
		                "inference trains nothing");
	refuse_together(options, OPT_ACTIVATION_BYTES, OPT_ACTIVATION_ELEMENTS,
	                "give one of them");
	refuse_together(options, OPT_ACTIVATION_BYTES, OPT_ACTIVATION_FORMULA,
	                "the size is given, so no formula is used");
	refuse_together(options, OPT_ACTIVATION_ELEMENTS, OPT_ACTIVATION_FORMULA,
	                "the size is given, so no formula is used");
	refuse_together(options, OPT_LORA_RANK, OPT_LORA_PARAMS, "give one of them");
	need(options, OPT_LORA_TARGETS, OPT_LORA_RANK);
	/* a trace says how it is shared */
	if (options->value[OPT_WORLD] && !options->value[OPT_ZERO] &&
	    !options->value[OPT_TRACE])
		fail(STATUS_USAGE,
		     "'--world' needs '--zero': 0 is DDP, where each device "
		     "has all; 1, 2 and 3 share");
	need(options, OPT_OUTPUT, OPT_MEASURE);
	need(options, OPT_PYTHON, OPT_MEASURE);
	need(options, OPT_TIMEOUT, OPT_MEASURE);
	need(options, OPT_PRINT_SCRIPT, OPT_MEASURE);
	if (options->value[OPT_LORA_DTYPE] && !options->value[OPT_LORA_RANK] &&
	    !options->value[OPT_LORA_PARAMS])
		fail(STATUS_USAGE, "'--lora-dtype' needs '--lora-rank'");
	if (options->value[OPT_GRAD_DTYPE] &&
	    (options->value[OPT_LORA_RANK] || options->value[OPT_LORA_PARAMS]))
		fail(STATUS_USAGE, "with adapters, gradients have the adapters' dtype: "
		                   "use '--lora-dtype' instead of '--grad-dtype'");
}

/* What a dtype option takes beside the floating-point dtypes. */
enum also {
	ALSO_NONE = 1, /* that there is no such copy */
	ALSO_LOW = 2,  /* int8 and nf4 */
};

/* A dtype that the bucket can have; also: flags of enum also. */
static bool dtype_option(const struct options *options, enum option_id id,
                         unsigned also, enum dtype *dtype)
{
	int choice = plan_choice(options, id, dtype_names, DTYPE_COUNT);

	if (choice < 0)
		return false;
	if ((choice == DTYPE_NONE && !(also & ALSO_NONE)) ||
	    ((choice == DTYPE_NF4 || choice == DTYPE_INT8) && !(also & ALSO_LOW)))
		fail(STATUS_USAGE, "'--%s' can't be '%s'", option_name(id),
		     dtype_names[choice]);
	*dtype = (enum dtype)choice;
	return true;
}

static void read_dtypes(struct plan *plan, const struct options *options)
{
	struct training *t = &plan->training;
	bool adapters =
	        options->value[OPT_LORA_RANK] || options->value[OPT_LORA_PARAMS];

	if (dtype_option(options, OPT_PARAM_DTYPE, ALSO_LOW, &t->parameter) &&
	    !options->value[OPT_PRECISION]) {
		enum dtype wide =
		        dtype_bits(t->parameter) >= 16 ? t->parameter : DTYPE_BF16;
		t->gradient = t->activation = t->residual = wide;
		t->state = dtype_bits(t->parameter) >= 16 ? wide : DTYPE_FP32;
		t->autocast = false;
		plan->precision = NULL;
	}
	if ((t->parameter == DTYPE_INT8 || t->parameter == DTYPE_NF4) && !adapters &&
	    !options->value[OPT_INFERENCE])
		fail(STATUS_USAGE,
		     "%s parameters can't be trained: add '--lora-rank', "
		     "'--lora-params' or '--inference'",
		     dtype_names[t->parameter]);
	if (options->value[OPT_DOUBLE_QUANT] && t->parameter != DTYPE_NF4)
		fail(STATUS_USAGE, "'--double-quant' needs '--param-dtype nf4'");
	dtype_option(options, OPT_LORA_DTYPE, 0, &t->adapter);
	if (adapters)
		t->state = t->adapter;
	dtype_option(options, OPT_GRAD_DTYPE, ALSO_NONE, &t->gradient);
	dtype_option(options, OPT_MASTER_DTYPE, ALSO_NONE, &t->master);
	dtype_option(options, OPT_STATE_DTYPE, ALSO_NONE | ALSO_LOW, &t->state);
	if (dtype_option(options, OPT_ACTIVATION_DTYPE, 0, &t->activation) &&
	    !t->autocast)
		t->residual = t->activation;
	if (t->state == DTYPE_NF4)
		fail(STATUS_USAGE, "'--state-dtype' can't be 'nf4'");
	if (t->optimizer == OPTIMIZER_ADAM8BIT && options->value[OPT_STATE_DTYPE] &&
	    t->state != DTYPE_INT8)
		fail(STATUS_USAGE, "adam8bit keeps its states in int8, not in %s",
		     dtype_names[t->state]);
}

/* A config that was published with packed weights is counted as one without. */
static void note_packing(struct plan *plan)
{
	const char *packed = plan->model.shape.packed,
	           *asked = dtype_names[plan->training.parameter];
	bool known = !strcmp(packed, dtype_names[DTYPE_NF4]) ||
	             !strcmp(packed, dtype_names[DTYPE_INT8]);

	if (!*packed || !strcmp(packed, asked))
		return;
	if (known)
		plan_note(
		        plan,
		        "the config's 'quantization_config' (bitsandbytes, %s) is not "
		        "counted: weights are %s; --param-dtype %s counts it",
		        !strcmp(packed, "int8") ? "8 bits" : "4 bits", asked, packed);
	else
		plan_note(plan,
		          "the config's 'quantization_config' (%s) is not counted: "
		          "weights are %s",
		          packed, asked);
}

static void read_sharding(struct plan *plan, const struct options *options)
{
	static const char *const stages[] = {"0", "1", "2", "3"};
	struct training *t = &plan->training;
	int stage = plan_choice(options, OPT_ZERO, stages, 4);
	int offload = plan_choice(options, OPT_OFFLOAD, offload_names, OFFLOAD_COUNT);

	if (stage > 0) {
		if (!options->value[OPT_WORLD])
			fail(STATUS_USAGE,
			     "'--zero %d' needs '--world', the number of "
			     "devices that share",
			     stage);
		t->zero = stage;
	}
	plan_count(options, OPT_WORLD, &t->world);
	if (offload >= 0)
		t->offload = (enum offload)offload;
	if (options->value[OPT_INFERENCE] && t->offload == OFFLOAD_OPTIMIZER)
		fail(STATUS_USAGE, "'--offload optimizer' and '--inference' contradict "
		                   "each other: there is no optimizer");
	if (options->value[OPT_INFERENCE] && (stage == 1 || stage == 2))
		fail(STATUS_USAGE,
		     "'--zero %d' and '--inference' contradict each other: "
		     "there is no optimizer to share",
		     stage);
}

static void read_lora(struct plan *plan, const struct options *options)
{
	struct training *t = &plan->training;
	const char *targets = options->value[OPT_LORA_TARGETS];
	char *list, *word, *rest = NULL;

	plan_count(options, OPT_LORA_PARAMS, &t->lora_parameters);
	if (!plan_count(options, OPT_LORA_RANK, &t->lora_rank))
		return;
	if (plan->model.known &&
	    (plan->model.shape.stages.count || plan->model.shape.pictures.layers))
		fail(STATUS_USAGE,
		     "'--lora-rank': where adapters stand in an image model of stages, "
		     "or in two towers, is not understood");
	if (!plan->model.known)
		fail(STATUS_USAGE,
		     "'--lora-rank' needs the shape of the model: give "
		     "'--model' or '--config', or the adapters' size with "
		     "'--lora-params'");
	if (t->lora_rank > plan->model.shape.hidden)
		fail(STATUS_USAGE, "a rank of %lld is more than the hidden size, %lld",
		     (long long)t->lora_rank, (long long)plan->model.shape.hidden);
	list = copy_text(targets ? targets : "q,v");
	for (word = strtok_r(list, ",", &rest); word;
	     word = strtok_r(NULL, ",", &rest)) {
		int found = !strcmp(word, "all") ? LORA_COUNT : -1;
		size_t length = strcspn(word, "_"); /* "q_proj" is q */
		for (int i = 0; i < LORA_COUNT; i++)
			if (strlen(lora_target_names[i]) == length &&
			    !strncmp(word, lora_target_names[i], length))
				found = i;
		if (found < 0)
			fail(STATUS_USAGE,
			     "'--lora-targets' are q, k, v, o, gate, up, "
			     "down or all, not '%s'",
			     word);
		t->lora_targets |=
		        found == LORA_COUNT ? (1u << LORA_COUNT) - 1 : 1u << found;
	}
	free(list);
	if (!t->lora_targets)
		fail(STATUS_USAGE, "'--lora-targets' names none");
	if (!lora_has_any(&plan->model, t))
		fail(STATUS_USAGE, "the model has no matmul of '--lora-targets %s'",
		     targets ? targets : "q,v");
	if (!targets)
		plan_note(plan, "adapters on q and v, as PEFT does it for most models; "
		                "--lora-targets changes it");
}

/* Of a model that reads a source and writes a target. */
static void read_target(struct plan *plan, const struct options *options)
{
	bool given = plan_count(options, OPT_TARGET_SEQ, &plan->training.target),
	     two = plan->model.known && plan->model.shape.decoder_layers;

	if (given && !two && !plan->unknown)
		fail(STATUS_USAGE, "'--target-seq' counts only of a model that reads a "
		                   "source and writes a target, such as T5");
	if (!two)
		return;
	if (!given && plan->model.shape.mel) {
		plan->training.target = plan->model.shape.target_positions;
		plan_note(plan,
		          "a target of %s tokens is assumed, the most there can be; "
		          "--target-seq changes it",
		          text_count(plan->training.target).s);
	} else if (!given)
		plan_note(plan, "a target as long as the source is assumed; "
		                "--target-seq changes it");
	if (plan->model.shape.target_positions &&
	    plan->training.target > plan->model.shape.target_positions)
		fail(STATUS_USAGE,
		     "this model has %lld positions, fewer than '--target-seq %lld'",
		     (long long)plan->model.shape.target_positions,
		     (long long)plan->training.target);
}

/* Batch and sequence; given: activations have a size, so no shape is asked for theirs. */
static void read_sequence(struct plan *plan, const struct options *options, bool given)
{
	struct training *t = &plan->training;

	plan_count(options, OPT_BATCH, &t->batch);
	plan->sequence_counts = (plan->model.known || plan->unknown) && !given;
	if (plan_count(options, OPT_SEQ, &t->seq)) {
		if (!plan->sequence_counts)
			fail(STATUS_USAGE, "'--seq' counts only where activations are "
			                   "computed from the shape of a model");
		if (shape_is_fixed(&plan->model.shape) &&
		    t->seq != plan->model.shape.positions)
			fail(STATUS_USAGE,
			     "the length of an image or a sound is its own: "
			     "'--seq' is not for this model");
		if (plan->model.shape.positions && t->seq > plan->model.shape.positions)
			fail(STATUS_USAGE,
			     "this model has %lld positions, fewer than "
			     "'--seq %lld'",
			     (long long)plan->model.shape.positions, (long long)t->seq);
	} else if (plan->sequence_counts && !plan->unknown && !plan->traced.seq_known) {
		t->seq = plan->model.shape.context;
		if (!shape_is_fixed(&plan->model.shape))
			plan_note(plan,
			          "a sequence length of %s is assumed; --seq changes "
			          "it",
			          text_count(t->seq).s);
	}
}

static void refuse_checkpoints(const struct shape *shape, const char *name)
{
	if (shape->stages.count)
		fail(STATUS_USAGE,
		     "'--checkpoint %s': transformers has no checkpoints of ResNet and "
		     "ConvNeXt, and Swin's are not understood",
		     name);
	if (shape->family == FAMILY_ALBERT)
		fail(STATUS_USAGE,
		     "'--checkpoint %s': transformers has no checkpoints of ALBERT",
		     name);
}

static void read_activations(struct plan *plan, const struct options *options)
{
	struct training *t = &plan->training;
	int formula = plan_choice(options, OPT_ACTIVATION_FORMULA, activations_names,
	                          ACTIVATIONS_COUNT);
	int checkpoint = plan_choice(options, OPT_CHECKPOINT, checkpoint_names,
	                             CHECKPOINT_COUNT);
	int attention =
	        plan_choice(options, OPT_ATTENTION, attention_names, ATTENTION_COUNT);
	bool given = plan_size(options, OPT_ACTIVATION_BYTES, &t->sample_bytes);

	given |= plan_count(options, OPT_ACTIVATION_ELEMENTS, &t->sample_elements);
	if (formula >= 0)
		t->activations = (enum activations)formula;
	if (checkpoint >= 0)
		t->checkpoint = (enum checkpoint)checkpoint;
	if (attention >= 0)
		t->attention = (enum attention)attention;
	if (plan->model.shape.written_only && t->attention == ATTENTION_FLASH) {
		t->attention = ATTENTION_MATH;
		plan_note(plan, "no kernel of PyTorch's computes this model's "
		                "attention: it is written out");
	}
	if (checkpoint > 0 && !plan->unknown && (given || !plan->model.known))
		fail(STATUS_USAGE,
		     "'--checkpoint %s' needs the shape of the model: its "
		     "layers are what is recomputed",
		     checkpoint_names[checkpoint]);
	if (checkpoint > 0 && plan->model.known)
		refuse_checkpoints(&plan->model.shape, checkpoint_names[checkpoint]);
	if (checkpoint > 0 && t->activations == ACTIVATIONS_ROUGH)
		fail(STATUS_USAGE,
		     "the rough formula knows no checkpoints; use another "
		     "'--activation-formula'");
	read_sequence(plan, options, given);
	read_target(plan, options);
	t->no_dropout = options->value[OPT_NO_DROPOUT] != NULL;
	if (!plan->traced.known) /* which tells whether there was any */
		t->dropout = plan->model.shape.dropout ||
		             plan->model.shape.attention_dropout ||
		             plan->model.shape.pictures.attention_dropout;
	t->dropout &= !t->no_dropout;
	if (!plan->model.known && !plan->unknown && !given)
		plan_note(
		        plan, "%s",
		        plan->model.shape.state.size
		                ? "activations are not counted: what Mamba 2 keeps "
		                  "depends on which kernels are installed; --measure "
		                  "runs it, --activation-bytes takes it for one sample"
		                : "activations are not counted, because the shape of "
		                  "the model is not known; give --model, --config, "
		                  "--layers and --hidden, or --activation-bytes for "
		                  "one sample");
}

static void add_card(struct plan *plan, const char *word)
{
	const struct card *card;
	char *names = NULL;
	int64_t bytes;
	enum card_answer answer = card_find(word, &card, &names);

	if (plan->card_count == PLAN_CARDS)
		fail(STATUS_USAGE, "'--gpu' takes at most %d cards", PLAN_CARDS);
	if (answer == CARD_KNOWN) {
		plan->cards[plan->card_count++] = *card;
		return;
	}
	if (answer == CARD_SEVERAL)
		fail(STATUS_USAGE, CARD_OF_SEVERAL, word, names);
	if (quantity_size(word, &bytes) != QUANTITY_GOOD)
		fail(STATUS_USAGE,
		     "there is no card '%s'; did you mean %s? 'tidemark plan --gpu "
		     "list' lists all; a size such as 24GB works too",
		     word, names);
	free(names);
	if (bytes < 1 << 20)
		fail(STATUS_USAGE,
		     "a card of '%s' is too small to be one; say 24GB or "
		     "24GiB",
		     word);
	plan->cards[plan->card_count++] = (struct card){
	        .name = word, .bytes = bytes, .source = "as given", .date = ""};
}

static void read_cards(struct plan *plan, const struct options *options)
{
	char *word, *rest = NULL;

	plan->context = CARD_CONTEXT;
	plan->context_given = plan_size(options, OPT_CONTEXT, &plan->context);
	if (!options->value[OPT_GPU]) {
		for (int i = 0; card_at(i) && i < PLAN_CARDS; i++)
			plan->cards[plan->card_count++] = *card_at(i);
		return;
	}
	plan->cards_named = true;
	plan->card_names = copy_text(options->value[OPT_GPU]);
	for (word = strtok_r(plan->card_names, ",", &rest); word;
	     word = strtok_r(NULL, ",", &rest))
		add_card(plan, word);
	if (!plan->card_count)
		fail(STATUS_USAGE, "'--gpu' names no card");
}

/* How a step is made of batches, and how it goes over the weights. */
static void read_step(struct training *t, const struct options *options)
{
	int by = plan_choice(options, OPT_OPTIMIZER_IMPL, implementation_names,
	                     IMPLEMENTATION_COUNT);

	if (by > 0 && !optimizer_has_ways(t->optimizer))
		fail(STATUS_USAGE,
		     "'--optimizer-impl %s' is for sgd, sgd-momentum, adam and adamw: "
		     "%s has one way of its own",
		     implementation_names[by], optimizer_names[t->optimizer]);
	if (by >= 0)
		t->implementation = (enum implementation)by;
	t->clip |= options->value[OPT_CLIP] != NULL;
	plan_count(options, OPT_ACCUMULATE, &t->accumulate);
}

void plan_read(struct plan *plan, const struct options *options)
{
	struct training *t = &plan->training;
	int precision =
	        plan_choice(options, OPT_PRECISION, precision_names, PRECISION_COUNT);
	int optimizer;

	memset(plan, 0, sizeof(*plan));
	refuse_contradictions(options);
	training_default(t, precision < 0 ? PRECISION_FP32 : (enum precision)precision);
	plan->precision = precision_names[precision < 0 ? PRECISION_FP32 : precision];
	plan_subject(plan, options); /* a trace sets dtypes and optimizer of its own */
	if (precision >= 0) {
		training_precision(t, (enum precision)precision);
		plan->precision = precision_names[precision];
	}
	optimizer =
	        plan_choice(options, OPT_OPTIMIZER, optimizer_names, OPTIMIZER_COUNT);
	if (optimizer >= 0)
		t->optimizer = (enum optimizer)optimizer;
	read_step(t, options);
	t->inference = options->value[OPT_INFERENCE] != NULL;
	t->double_quant = options->value[OPT_DOUBLE_QUANT] != NULL;
	read_dtypes(plan, options);
	note_packing(plan);
	read_sharding(plan, options);
	read_lora(plan, options);
	read_activations(plan, options);
	read_cards(plan, options);
	plan_sweep_read(plan, options);
	if (plan_factor(options, OPT_OVERHEAD, &t->overhead_ppm) &&
	    (t->overhead_ppm < 1000000 || t->overhead_ppm > 100000000))
		fail(STATUS_USAGE, "'--overhead' is a factor from 1 to 100, not '%s'",
		     options->value[OPT_OVERHEAD]);
}
