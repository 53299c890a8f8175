/* config.c - the shape of a model from a Hugging Face config.json.
 *
 * The file comes from anywhere: it may be huge, deep, of wrong types or no JSON at all.
 * SQLite's JSON functions read it, in a database of no file.
 * Called from: plan/subject.c, trace/recorded.c. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config_private.h"
#include "heap.h"
#include "dropouts.h"
#include "encoders.h"
#include "functions.h"
#include "mamba.h"
#include "pictures.h"
#include "reader.h"

enum { LARGEST = 1 << 20 }; /* real ones have a few kilobytes */

#define COMMON "hidden_size", "num_hidden_layers", "num_attention_heads"
#define LENGTH "max_position_embeddings"
#define OLDER                                                                          \
	"n_embd|hidden_size", "n_layer|num_hidden_layers", "n_head|num_attention_heads"

static const struct kind kinds[] = {
        {"llama", FAMILY_LLAMA, COMMON, "intermediate_size", NULL, 1},
        {"mistral", FAMILY_LLAMA, COMMON, "intermediate_size", NULL, 1},
        {"qwen2", FAMILY_QWEN2, COMMON, "intermediate_size", NULL, 1},
        {"qwen3", FAMILY_QWEN3, COMMON, "intermediate_size", NULL, 1},
        {"phi3", FAMILY_PHI3, COMMON, "intermediate_size", NULL, 1},
        {"gemma", FAMILY_GEMMA, COMMON, "intermediate_size", NULL, 1},
        {"gpt2", FAMILY_GPT2, "n_embd", "n_layer", "n_head", "n_inner", "n_positions"},
        {"nanogpt", FAMILY_GPT2, "n_embd", "n_layer", "n_head", "n_inner",
         "block_size"},
        {"gpt_neox", FAMILY_NEOX, COMMON, "intermediate_size", NULL, 0.25},
        {"starcoder2", FAMILY_STARCODER2, COMMON, "intermediate_size", NULL, 1},
        {"granite", FAMILY_GRANITE, COMMON, "intermediate_size", NULL, 1},
        {"olmo2", FAMILY_OLMO2, COMMON, "intermediate_size", NULL, 1},
        {"stablelm", FAMILY_STABLELM, COMMON, "intermediate_size", NULL, 0.25},
        {"cohere", FAMILY_COHERE, COMMON, "intermediate_size", NULL, 1},
        {"phi", FAMILY_PHI, COMMON, "intermediate_size", NULL, 0.5},
        {"gemma2", FAMILY_GEMMA2, COMMON, "intermediate_size", NULL, 1},
        {"opt", FAMILY_OPT, COMMON, "ffn_dim", LENGTH},
        {"gptj", FAMILY_GPTJ, OLDER, "n_inner", NULL, 1},
        {"codegen", FAMILY_CODEGEN, OLDER, "n_inner", NULL, 1},
        {"gpt_neo", FAMILY_GPT_NEO, "hidden_size", "num_layers|num_hidden_layers",
         "num_heads|num_attention_heads", "intermediate_size", LENGTH},
        {"bloom", FAMILY_BLOOM, "n_embed|hidden_size", "n_layer|num_hidden_layers",
         "n_head|num_attention_heads", NULL},
        {"mpt", FAMILY_MPT, "d_model|hidden_size", "n_layers|num_hidden_layers",
         "n_heads|num_attention_heads", NULL},
        {"gemma3_text", FAMILY_GEMMA3, COMMON, "intermediate_size", NULL, 1},
        {"olmo", FAMILY_OLMO, COMMON, "intermediate_size", NULL, 1},
        {"smollm3", FAMILY_SMOLLM3, COMMON, "intermediate_size", NULL, 1},
        {"cohere2", FAMILY_COHERE2, COMMON, "intermediate_size", NULL, 1},
        {"glm", FAMILY_GLM, COMMON, "intermediate_size", NULL, 0.5},
        {"nemotron", FAMILY_NEMOTRON, COMMON, "intermediate_size", NULL, 0.5},
        {"exaone4", FAMILY_EXAONE4, COMMON, "intermediate_size", NULL, 1},
        {"falcon", FAMILY_FALCON, "hidden_size|n_embed", "num_hidden_layers|n_layer",
         "num_attention_heads|n_head", "ffn_hidden_size", NULL, 1},
        {"mixtral", FAMILY_MIXTRAL, COMMON, "intermediate_size", NULL, 1},
        {"qwen2_moe", FAMILY_QWEN2_MOE, COMMON, "intermediate_size", NULL, 1},
        {"qwen3_moe", FAMILY_QWEN3_MOE, COMMON, "intermediate_size", NULL, 1},
        {"deepseek_v2", FAMILY_DEEPSEEK_V2, COMMON, "intermediate_size", NULL, 1},
        {"deepseek_v3", FAMILY_DEEPSEEK_V3, COMMON, "intermediate_size", NULL, 1},
        {"llama4_text", FAMILY_LLAMA4, COMMON, "intermediate_size", NULL, 1},
        {"mamba2", FAMILY_MAMBA2, "hidden_size", "num_hidden_layers", "num_heads", NULL,
         NULL, 0},
        {"vit", FAMILY_VIT, COMMON, "intermediate_size", NULL},
        {"resnet", FAMILY_RESNET, NULL, NULL, NULL, NULL, NULL},
        {"convnext", FAMILY_CONVNEXT, NULL, NULL, NULL, NULL, NULL},
        {"swin", FAMILY_SWIN, NULL, NULL, NULL, NULL, NULL},
        {"clip", FAMILY_CLIP, NULL, NULL, NULL, NULL, NULL},
        {"t5", FAMILY_T5, "d_model", "num_layers", "num_heads", "d_ff", NULL},
        {"mt5", FAMILY_T5, "d_model", "num_layers", "num_heads", "d_ff", NULL},
        {"bart", FAMILY_BART, "d_model", "encoder_layers", "encoder_attention_heads",
         "encoder_ffn_dim", LENGTH},
        {"whisper", FAMILY_WHISPER, "d_model", "encoder_layers",
         "encoder_attention_heads", "encoder_ffn_dim", "max_source_positions"},
        {"bert", FAMILY_BERT, COMMON, "intermediate_size", LENGTH},
        {"roberta", FAMILY_ROBERTA, COMMON, "intermediate_size", LENGTH},
        {"xlm-roberta", FAMILY_ROBERTA, COMMON, "intermediate_size", LENGTH},
        {"distilbert", FAMILY_DISTILBERT, "dim", "n_layers", "n_heads", "hidden_dim",
         LENGTH},
        {"electra", FAMILY_ELECTRA, COMMON, "intermediate_size", LENGTH},
        {"albert", FAMILY_ALBERT, COMMON, "intermediate_size", LENGTH},
        {"deberta-v2", FAMILY_DEBERTA, COMMON, "intermediate_size", LENGTH},
};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

const char *config_kinds(void)
{
	static char names[KINDS * 16];

	for (size_t i = 0, length = 0; i < KINDS; i++)
		length += (size_t)snprintf(names + length, sizeof(names) - length,
		                           "%s%s", i ? ", " : "", kinds[i].name);
	return names;
}

static const struct kind *kind_named(const char *name)
{
	for (int i = 0; i < KINDS; i++)
		if (!strcmp(name, kinds[i].name))
			return &kinds[i];
	return NULL;
}

/* Of a model of several parts, its language model may be of a kind that is known. */
static void wrong_kind(struct reader *reader, const char *name)
{
	struct rows *rows = look(reader, "text_config.model_type");
	const char *type = rows ? rows_text(rows, 0) : NULL;
	const char *part = type && !strcmp(type, "text") ? rows_text(rows, 1) : NULL;

	if (part && kind_named(part))
		wrong(reader,
		      "'%s' describes a '%.40s', a model of several parts, which "
		      "'plan' "
		      "does not know. It knows the language model in it, a '%s': save "
		      "'text_config' as a config.json of its own and give that",
		      reader->name, name, part);
	else
		wrong(reader, "'%s' describes a '%.40s', which is not one of %s",
		      reader->name, name, config_kinds());
	if (rows)
		rows_free(rows);
}

static const struct kind *find_kind(struct reader *reader, char *foreign, size_t size)
{
	struct rows *rows = look(reader, "model_type");
	const char *type = rows ? rows_text(rows, 0) : NULL;
	const struct kind *kind = NULL;

	/* nanoGPT's configuration names no type, but no other has these two keys */
	if (!type && has_type(reader, "block_size", "integer") &&
	    has_type(reader, "n_embd", "integer")) {
		kind = kind_named("nanogpt");
	} else if (!type || strcmp(type, "text") != 0) {
		wrong(reader, "'%s' has no 'model_type'; is it a model's config.json?",
		      reader->name);
	} else {
		const char *name = rows_text(rows, 1);
		kind = kind_named(name);
		snprintf(foreign, size, "%s", name);
		reader->foreign = !kind;
		if (!kind)
			wrong_kind(reader, name);
	}
	if (rows)
		rows_free(rows);
	return kind;
}

/* How many elements of a head are rotated. Of most kinds it is all of them, whatever the config
 * says. */
static void read_rotary(struct reader *reader, const struct kind *kind, struct shape *s)
{
	static const char *const keys[] = {"rotary_pct", "partial_rotary_factor",
	                                   "rope_parameters.partial_rotary_factor"};
	double part = kind->rotary;

	for (int i = 0; i < 3 && part && part < 1; i++)
		part = fraction(reader, keys[i], part);
	s->rotary = (int64_t)((double)s->head_dim * part);
}

/* Biases, and how a layer's parts are put together. */
static void refine_layers(struct reader *reader, const struct kind *kind,
                          struct shape *s)
{
	static const char *const norms[] = {"qk_layernorm", "use_qk_norm"};

	if (!strcmp(kind->name, "starcoder2"))
		s->qkv_bias = s->out_bias = s->mlp_bias =
		        truth(reader, "use_bias", true);
	if (!strcmp(kind->name, "llama") || !strcmp(kind->name, "granite")) {
		s->qkv_bias = s->out_bias = truth(reader, "attention_bias", false);
		s->mlp_bias = truth(reader, "mlp_bias", false);
	}
	if (!strcmp(kind->name, "qwen3") || !strcmp(kind->name, "olmo2") ||
	    !strcmp(kind->name, "cohere") || !strcmp(kind->name, "gemma2") ||
	    !strcmp(kind->name, "cohere2") || !strcmp(kind->name, "gemma3_text") ||
	    !strcmp(kind->name, "olmo") || !strcmp(kind->name, "smollm3") ||
	    !strcmp(kind->name, "nemotron"))
		s->qkv_bias = s->out_bias = truth(reader, "attention_bias", false);
	if (!strcmp(kind->name, "smollm3") || !strcmp(kind->name, "nemotron"))
		s->mlp_bias = truth(reader, "mlp_bias", false);
	if (!strcmp(kind->name, "glm"))
		s->qkv_bias = truth(reader, "attention_bias", true);
	if (!strcmp(kind->name, "gpt_neox")) {
		s->qkv_bias = s->out_bias = truth(reader, "attention_bias", true);
		s->parallel = truth(reader, "use_parallel_residual", true);
	}
	if (!strcmp(kind->name, "stablelm")) {
		s->qkv_bias = truth(reader, "use_qkv_bias", false);
		s->parallel = truth(reader, "use_parallel_residual", false);
	}
	if (!strcmp(kind->name, "gemma2")) {
		s->score_cap = !has_type(reader, "attn_logit_softcapping", "null");
		s->logit_cap = !has_type(reader, "final_logit_softcapping", "null");
	}
	if (s->parallel && strcmp(kind->name, "gpt_neox") != 0)
		s->norms = 1; /* attention and feed-forward read what one norm gave */
	for (int i = 0;
	     i < 2 && (s->family == FAMILY_STABLELM || s->family == FAMILY_PHI ||
	               s->family == FAMILY_COHERE);
	     i++)
		if (truth(reader, norms[i], false))
			strange(reader, norms[i], "the model has norms for each head");
}

static void refine_opt(struct reader *reader, struct shape *s)
{
	s->positions += 2; /* OPT's table begins with two rows for padding */
	s->final_norm = truth(reader, "do_layer_norm_before", true) &&
	                !truth(reader, "_remove_final_layer_norm", false);
	s->qkv_bias = s->out_bias = s->mlp_bias = truth(reader, "enable_bias", true);
	if (whole(reader, "word_embed_proj_dim", s->hidden) != s->hidden)
		strange(reader, "word_embed_proj_dim",
		        "the model projects its embeddings");
	if (!truth(reader, "layer_norm_elementwise_affine", true))
		strange(reader, "layer_norm_elementwise_affine",
		        "norms have no weights");
}

static void refine(struct reader *reader, const struct kind *kind, struct shape *s)
{
	if (strcmp(kind->name, "nanogpt") != 0)
		config_function(reader, s);
	read_rotary(reader, kind, s);
	refine_layers(reader, kind, s);
	refine_decoder(reader, kind, s);
	if (kind->family == FAMILY_MAMBA2)
		refine_mamba(reader, s);
	refine_experts(reader, s);
	if (s->head == HEAD_LM && s->family != FAMILY_MAMBA2)
		config_dropout(reader, s);
	if (!strcmp(kind->name, "opt"))
		refine_opt(reader, s);
	if (!strcmp(kind->name, "gpt2") && truth(reader, "add_cross_attention", false))
		strange(reader, "add_cross_attention",
		        "layers attend to another model's output");
	if (!strcmp(kind->name, "nanogpt")) {
		s->mlp = MLP_GELU;
		s->undropped = 0;
		s->attention_dropout = s->dropout = fraction(reader, "dropout", 0) > 0;
	}
	if (s->encoder)
		config_encoder(reader, s);
	if (s->head == HEAD_CLASSES)
		config_vision(reader, s);
	if (s->head == HEAD_SEQ2SEQ)
		config_seq2seq(reader, s, !strcmp(kind->name, "mt5"));
	config_head(reader, s);
}

/* Is the feed-forward part four times as wide as the model where the config does not say it? */
static bool four_times(const struct kind *kind)
{
	return kind->family == FAMILY_GPT2 || kind->family == FAMILY_GPTJ ||
	       kind->family == FAMILY_CODEGEN || kind->family == FAMILY_GPT_NEO ||
	       kind->family == FAMILY_FALCON;
}

/* A head's width where the config does not say it, as transformers has it. */
static int64_t usual_head(enum family family, const struct shape *s)
{
	switch (family) {
	case FAMILY_GEMMA:
	case FAMILY_GEMMA2:
	case FAMILY_GEMMA3:
		return 256;
	case FAMILY_MAMBA2:
		return 64;
	case FAMILY_QWEN3:
	case FAMILY_GLM:
		return 128;
	default:
		return s->hidden / s->heads;
	}
}

/* Where the config doesn't say it; 0: as many as there are of queries; -1: as many whatever the
 * config says. */
static int64_t usual_kv_heads(enum family family, const char *name)
{
	switch (family) {
	case FAMILY_LLAMA:
		return strcmp(name, "mistral") ? 0 : 8;
	case FAMILY_QWEN2:
	case FAMILY_QWEN3:
	case FAMILY_STABLELM:
	case FAMILY_EXAONE4:
		return 32;
	case FAMILY_GEMMA:
	case FAMILY_QWEN2_MOE:
		return 16;
	case FAMILY_MIXTRAL:
	case FAMILY_LLAMA4:
		return 8;
	case FAMILY_GEMMA2:
	case FAMILY_GEMMA3:
	case FAMILY_SMOLLM3:
	case FAMILY_QWEN3_MOE:
		return 4;
	case FAMILY_STARCODER2:
	case FAMILY_GLM:
		return 2;
	case FAMILY_PHI:
	case FAMILY_PHI3:
	case FAMILY_GRANITE:
	case FAMILY_OLMO:
	case FAMILY_OLMO2:
	case FAMILY_COHERE:
	case FAMILY_COHERE2:
	case FAMILY_NEMOTRON:
	case FAMILY_DEEPSEEK_V2:
	case FAMILY_DEEPSEEK_V3:
	case FAMILY_MAMBA2:
		return 0;
	default:
		return -1;
	}
}

/* Heads of keys and values. */
static int64_t read_kv_heads(struct reader *reader, const struct kind *kind,
                             const struct shape *s)
{
	static const char key[] = "num_key_value_heads";
	struct rows *rows;
	int64_t usual = usual_kv_heads(kind->family, kind->name);
	bool missing;

	if (usual < 0)
		return s->heads;
	rows = look(reader, key);
	missing = !rows || !rows_text(rows, 0); /* not null */
	if (rows)
		rows_free(rows);
	return whole(reader, key, missing && usual ? usual : s->heads);
}

/* The width of a head; older kinds, and StableLM, don't ask the config for it. */
static int64_t read_head(struct reader *reader, const struct kind *kind,
                         const struct shape *s)
{
	if (kind->family == FAMILY_T5)
		return whole(reader, "d_kv", 64);
	if (kind->family == FAMILY_STABLELM ||
	    usual_kv_heads(kind->family, kind->name) < 0)
		return s->hidden / s->heads;
	return whole(reader, "head_dim", usual_head(kind->family, s));
}

static void fill(struct reader *reader, const struct kind *kind, struct shape *s)
{
	*s = *family_shape(kind->family);
	if (!kind->hidden) {
		if (kind->family == FAMILY_CLIP)
			config_towers(reader, s);
		else
			config_stages(reader, s);
		config_head(reader, s);
		return;
	}
	s->hidden = whole(reader, kind->hidden, -1);
	s->layers = whole(reader, kind->layers, -1);
	s->heads = whole(reader, kind->heads, -1);
	s->vocab = whole(reader, "vocab_size", kind->family == FAMILY_VIT ? 0 : -1);
	s->ffn = kind->ffn ? whole(reader, kind->ffn,
	                           four_times(kind) ? 4 * s->hidden : -1)
	                   : 4 * s->hidden;
	s->kv_heads = read_kv_heads(reader, kind, s);
	s->context = whole(reader, "max_position_embeddings", 2048);
	if (kind->positions)
		s->positions = s->context = whole(reader, kind->positions, -1);
	if (reader->failed)
		return;
	s->head_dim = read_head(reader, kind, s);
	if (s->hidden % s->heads && s->head_dim == s->hidden / s->heads)
		wrong(reader, "%lld heads don't divide hidden_size %lld in '%s'",
		      (long long)s->heads, (long long)s->hidden, reader->name);
	s->tied = truth(reader, "tie_word_embeddings", s->tied);
	refine(reader, kind, s);
	if (s->context > 4096) /* nobody trains at 128 k without asking for it */
		s->context = 4096;
}

/* How the published weights are packed. */
static void read_packing(struct reader *reader, struct shape *s)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz_-0123456789";
	struct rows *rows = look(reader, "quantization_config.quant_method");
	const char *type = rows ? rows_text(rows, 0) : NULL;
	const char *method =
	        type && !strcmp(type, "text") ? rows_text(rows, 1) : "unnamed";

	if (has_type(reader, "quantization_config.load_in_4bit", "true"))
		method = "nf4";
	else if (has_type(reader, "quantization_config.load_in_8bit", "true"))
		method = "int8";
	if (method[strspn(method, plain)])
		method = "unnamed";
	if (has_type(reader, "quantization_config", "object"))
		snprintf(s->packed, sizeof(s->packed), "%s", method);
	if (rows)
		rows_free(rows);
}

int config_parse(const char *name, const char *text, struct shape *shape, char *kind,
                 size_t kind_size, char *why, size_t size)
{
	struct reader reader = {.db = db_memory(name),
	                        .name = name,
	                        .text = text,
	                        .why = why,
	                        .size = size};
	struct rows *rows = db_rows(reader.db, "SELECT json_valid(?1)", "t", text);
	bool valid = rows_next(rows) && rows_number(rows, 0);
	const struct kind *found;

	rows_free(rows);
	if (!valid) {
		wrong(&reader, "'%s' is not valid JSON", name);
	} else if ((found = find_kind(&reader, kind, kind_size))) {
		fill(&reader, found, shape);
		read_packing(&reader, shape);
		snprintf(kind, kind_size, "%s", found->name);
	}
	db_close(reader.db);
	if (reader.foreign)
		return CONFIG_FOREIGN;
	if (!reader.failed && shape_check(shape, why, size))
		return -1;
	return reader.failed ? -1 : 0;
}

static char *read_file(const char *path, char *why, size_t size)
{
	char *text;
	size_t length = 0;
	ssize_t got;
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || fstat(fd, &st)) {
		snprintf(why, size, "cannot read '%s': %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	if (!S_ISREG(st.st_mode)) {
		snprintf(why, size, "'%s' is not a file", path);
		close(fd);
		return NULL;
	}
	text = allocate(LARGEST + 2);
	while (length <= LARGEST &&
	       (got = read(fd, text + length, LARGEST + 1 - length)) > 0)
		length += (size_t)got;
	close(fd);
	if (length <= LARGEST && strlen(text) == length)
		return text;
	snprintf(why, size,
	         length > LARGEST
	                 ? "'%s' is larger than 1 MiB: no model's config is"
	                 : "'%s' is not valid JSON: there are zero bytes in it",
	         path);
	free(text);
	return NULL;
}

int config_load(const char *path, struct shape *shape, char *kind, size_t kind_size,
                char *why, size_t size)
{
	char *text = read_file(path, why, size);
	int rc = -1;

	if (text)
		rc = config_parse(path, text, shape, kind, kind_size, why, size);
	free(text);
	return rc;
}
