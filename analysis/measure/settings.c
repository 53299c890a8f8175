/* settings.c - what of a plan the training script is told, and which plans it can not be told.
 * Called from: commands/plan.c, trainer.c. */
#include "trainer.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "heap.h"

/* ---- what cannot be measured ------------------------------------------------------------- */

static const struct {
	enum option_id id;
	const char *why;
} refused[] = {
        {OPT_PARAMS, "a number of parameters has no shape to build; give '--model' or "
                     "'--config'"},
        {OPT_TRACE, "a trace is a measurement; give '--model' or '--config'"},
        {OPT_INFERENCE, "what is measured is two steps of training"},
        {OPT_OFFLOAD, "nothing is kept in host memory"},
        {OPT_LORA_PARAMS, "adapters are made by rank and targets; give '--lora-rank'"},
        {OPT_GRAD_DTYPE, "PyTorch's gradients have the parameters' dtype"},
        {OPT_MASTER_DTYPE, "PyTorch's optimizers keep no master copy"},
        {OPT_STATE_DTYPE, "PyTorch's optimizers choose their own dtype"},
        {OPT_ACTIVATION_DTYPE, "'--precision' says what the model computes in"},
        {OPT_ACTIVATION_BYTES, "activations are what is measured"},
        {OPT_ACTIVATION_ELEMENTS, "activations are what is measured"},
};

static const char can[] =
        "a run can have --batch, --accumulate, --seq, --target-seq, --task, "
        "--precision, --optimizer, --optimizer-impl, --clip, --attention, "
        "--no-dropout, '--checkpoint full', --lora-rank, --lora-targets, --lora-dtype, "
        "and "
        "--world with '--zero 3' or '--zero 0'";

static char *refuse_shapes(const struct options *options)
{
	static const enum option_id ids[] = {OPT_LAYERS, OPT_HIDDEN,   OPT_FFN,
	                                     OPT_HEADS,  OPT_KV_HEADS, OPT_VOCAB,
	                                     OPT_TIED};

	for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++) {
		if (!options->value[ids[i]] || options->value[OPT_MODEL])
			continue;
		if (options->value[OPT_CONFIG])
			return format_text(
			        "'--%s' cannot be measured with '--config': write it "
			        "into the config",
			        option_name(ids[i]));
		return format_text(
		        "a plain transformer cannot be measured: transformers "
		        "has no such model; give '--model' or '--config'");
	}
	return NULL;
}

static char *refuse_training(const struct training *t)
{
	if (t->zero == 1 || t->zero == 2)
		return format_text(
		        "'--zero %d' cannot be measured: what is measured is FSDP2, "
		        "'--zero 3', or DDP, '--zero 0'",
		        t->zero);
	if (t->checkpoint == CHECKPOINT_SELECTIVE || t->checkpoint == CHECKPOINT_SQRT)
		return format_text(
		        "'--checkpoint %s' cannot be measured: transformers recomputes "
		        "whole layers, which is '--checkpoint full'",
		        checkpoint_names[t->checkpoint]);
	if (t->parameter == DTYPE_NF4 && t->zero)
		return format_text(
		        "'--param-dtype nf4' cannot be measured with '--zero %d'",
		        t->zero);
	if (t->parameter != DTYPE_NF4 && t->parameter != DTYPE_FP32 &&
	    t->parameter != DTYPE_BF16 && t->parameter != DTYPE_FP16)
		return format_text(
		        "'--param-dtype %s' cannot be measured: what is measured is "
		        "fp32, bf16, fp16, or nf4 under adapters",
		        dtype_names[t->parameter]);
	return NULL;
}

char *trainer_refusal(const struct plan *plan, const struct options *options)
{
	char *why;

	for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++)
		if (options->value[refused[i].id])
			return format_text("'--%s' cannot be measured: %s (%s)",
			                   option_name(refused[i].id), refused[i].why,
			                   can);
	why = refuse_shapes(options);
	return why ? why : refuse_training(&plan->training);
}

/* ---- the settings as Python -------------------------------------------------------------- */

/* A path as a literal; bytes that are not ASCII as os.fsdecode() takes them. */
static void put_path(FILE *out, const char *path)
{
	bool plain = true;

	for (const char *at = path; *at; at++)
		plain = plain && *at >= ' ' && *at <= '~';
	fputs(plain ? "\"" : "os.fsdecode(b\"", out);
	for (const unsigned char *at = (const unsigned char *)path; *at; at++)
		if (*at == '"' || *at == '\\')
			fprintf(out, "\\%c", *at);
		else if (*at < ' ' || *at > '~')
			fprintf(out, "\\x%02x", *at);
		else
			fputc(*at, out);
	fputs(plain ? "\"" : "\")", out);
}

static void put(FILE *out, const char *key, int64_t value)
{
	fprintf(out, "        \"%s\": %" PRId64 ",\n", key, value);
}

static void put_words(FILE *out, const char *key, const char *value)
{
	fprintf(out, "        \"%s\": %s,\n", key, value);
}

/* What transformers calls a model of the family. */
static const char *kind_of(const struct shape *shape)
{
	static const char *const kinds[FAMILY_COUNT] = {
	        [FAMILY_LLAMA] = "llama",   [FAMILY_QWEN2] = "qwen2",
	        [FAMILY_QWEN3] = "qwen3",   [FAMILY_PHI3] = "phi3",
	        [FAMILY_GEMMA] = "gemma",   [FAMILY_GPT2] = "gpt2",
	        [FAMILY_NEOX] = "gpt_neox", [FAMILY_OPT] = "opt",
	        [FAMILY_BERT] = "bert",     [FAMILY_ROBERTA] = "roberta",
	        [FAMILY_VIT] = "vit"};

	return kinds[shape->family];
}

static const char *class_of(const struct shape *shape)
{
	static const char *const classes[FAMILY_COUNT] = {
	        [FAMILY_LLAMA] = "LlamaForCausalLM",
	        [FAMILY_QWEN2] = "Qwen2ForCausalLM",
	        [FAMILY_QWEN3] = "Qwen3ForCausalLM",
	        [FAMILY_PHI3] = "Phi3ForCausalLM",
	        [FAMILY_GEMMA] = "GemmaForCausalLM",
	        [FAMILY_GPT2] = "GPT2LMHeadModel",
	        [FAMILY_NEOX] = "GPTNeoXForCausalLM",
	        [FAMILY_OPT] = "OPTForCausalLM",
	        [FAMILY_BERT] = "BertForSequenceClassification",
	        [FAMILY_ROBERTA] = "RobertaForSequenceClassification",
	        [FAMILY_VIT] = "ViTForImageClassification"};

	/* An encoder has classes of its samples and no head for words, as it is fine-tuned. */
	return classes[shape->family];
}

static void put_gpt2(FILE *out, const struct shape *s)
{
	put(out, "n_embd", s->hidden);
	put(out, "n_layer", s->layers);
	put(out, "n_head", s->heads);
	put(out, "n_inner", s->ffn);
	put(out, "n_positions", s->positions);
	put(out, "vocab_size", s->vocab);
}

static void put_vision(FILE *out, const struct shape *s)
{
	int64_t side = (int64_t)sqrt((double)(s->patch / 3) + 0.5);

	put(out, "image_size", 224);
	put(out, "patch_size", side);
	put(out, "num_labels", s->classes);
}

static void put_text(FILE *out, const struct shape *s)
{
	put(out, "vocab_size", s->vocab);
	put(out, "max_position_embeddings", s->positions ? s->positions : s->context);
	put(out, "num_key_value_heads", s->kv_heads);
	put(out, "head_dim", s->head_dim);
	put_words(out, "tie_word_embeddings", s->tied ? "True" : "False");
	put(out, "pad_token_id", s->family == FAMILY_OPT ? 1 : 0);
	if (s->types)
		put(out, "type_vocab_size", s->types);
	if (s->parallel)
		fprintf(out, "        \"rotary_pct\": %g,\n",
		        (double)s->rotary / (double)s->head_dim);
}

/* A config.json, as a Python dictionary, for the shape of a named model. */
static void put_config(const struct plan *plan, FILE *out)
{
	struct shape s = plan->model.shape;
	const char *kind = kind_of(&s);

	fprintf(out, "{\n        \"model_type\": \"%s\",\n", kind);
	fprintf(out, "        \"architectures\": [\"%s\"],\n", class_of(&s));
	if (s.family == FAMILY_GPT2) {
		put_gpt2(out, &s);
	} else {
		put(out, "hidden_size", s.hidden);
		put(out, "num_hidden_layers", s.layers);
		put(out, "num_attention_heads", s.heads);
		put(out, s.family == FAMILY_OPT ? "ffn_dim" : "intermediate_size",
		    s.ffn);
		if (s.family == FAMILY_OPT) {
			s.positions -= 2; /* of padding, which transformers adds */
			put(out, "word_embed_proj_dim", s.hidden);
		}
		if (s.family == FAMILY_VIT)
			put_vision(out, &s);
		else
			put_text(out, &s);
	}
	fputs("    }", out);
}

static void put_dtype(FILE *out, const char *key, bool there, enum dtype dtype)
{
	if (there)
		fprintf(out, "    \"%s\": \"%s\",\n", key, dtype_names[dtype]);
	else
		fprintf(out, "    \"%s\": None,\n", key);
}

static void put_adapters(const struct training *t, FILE *out)
{
	const char *comma = "";

	if (!t->lora_rank) {
		fputs("    \"lora\": None,\n", out);
		return;
	}
	fprintf(out,
	        "    \"lora\": {\"rank\": %" PRId64
	        ", \"dtype\": \"%s\", \"targets\": [",
	        t->lora_rank, dtype_names[t->adapter]);
	for (int i = 0; i < LORA_COUNT; i++) {
		if (!(t->lora_targets & (1u << i)))
			continue;
		fprintf(out, "%s\"%s\"", comma, lora_target_names[i]);
		comma = ", ";
	}
	fputs("]},\n", out);
}

void trainer_settings(const struct plan *plan, const struct options *options, FILE *out)
{
	const struct training *t = &plan->training;
	bool shards = t->zero == 3 && t->world > 1;

	fputs("SETTINGS = {\n    \"config\": ", out);
	if (options->value[OPT_CONFIG])
		put_path(out, options->value[OPT_CONFIG]);
	else
		put_config(plan, out);
	fprintf(out, ",\n    \"parameters\": \"%s\",\n",
	        dtype_names[t->parameter == DTYPE_NF4 ? t->residual : t->parameter]);
	if (t->parameter == DTYPE_NF4)
		fprintf(out, "    \"packed\": {\"computed\": \"%s\", \"twice\": %s},\n",
		        dtype_names[t->activation], t->double_quant ? "True" : "False");
	else
		fputs("    \"packed\": None,\n", out);
	put_dtype(out, "autocast", t->autocast && !shards, t->activation);
	put_dtype(out, "mixed", t->autocast && shards, t->activation);
	fprintf(out, "    \"sharding\": %s,\n    \"world\": %" PRId64 ",\n",
	        shards         ? "\"fsdp2\""
	        : t->world > 1 ? "\"ddp\""
	                       : "None",
	        t->world);
	if (options->value[OPT_TASK])
		fprintf(out, "    \"task\": \"%s\",\n", options->value[OPT_TASK]);
	else
		fputs("    \"task\": None,\n", out);
	fprintf(out, "    \"optimizer\": \"%s\",\n", optimizer_names[t->optimizer]);
	fprintf(out, "    \"optimizer_impl\": \"%s\",\n",
	        implementation_names[t->implementation]);
	fprintf(out, "    \"clip\": %s,\n", t->clip ? "True" : "False");
	fprintf(out, "    \"accumulate\": %" PRId64 ",\n", t->accumulate);
	fprintf(out, "    \"batch\": %" PRId64 ",\n", t->batch);
	if (t->seq)
		fprintf(out, "    \"seq\": %" PRId64 ",\n", t->seq);
	else
		fputs("    \"seq\": None,\n", out);
	fprintf(out, "    \"target\": %" PRId64 ",\n", t->target);
	fprintf(out, "    \"attention\": \"%s\",\n",
	        t->attention == ATTENTION_MATH ? "eager" : "sdpa");
	fprintf(out, "    \"checkpoint\": %s,\n", t->checkpoint ? "True" : "False");
	fprintf(out, "    \"dropout\": %s,\n",
	        options->value[OPT_NO_DROPOUT] ? "False" : "True");
	put_adapters(t, out);
	fputs("    \"steps\": 2,\n}\n", out);
}
