/* encoders.c - what a config.json says of encoders, of two stacks, and of the head on any model's layers.
 * Keys and their values where they are not given: models/NAME/configuration_NAME.py of
 * transformers 5.23.
 * Called from: config.c. */
#include "encoders.h"

#include <string.h>

#include "functions.h"
#include "tasks.h"

/* DeBERTa's relative positions: a table, which the layers' own matmuls, or those of queries and
 * keys, make heads of. */
static void refine_deberta(struct reader *reader, struct shape *s)
{
	int64_t buckets = number_of(reader, "position_buckets", -1),
	        most = number_of(reader, "max_relative_positions", -1);
	struct rows *rows =
	        look(reader, "pos_att_type"); /* "c2p|p2c", or a list of them */
	const char *by = rows ? rows_text(rows, 1) : NULL;

	if (truth(reader, "relative_attention", false) && most < INT64_C(1) << 30 &&
	    buckets < INT64_C(1) << 30) {
		s->relative.rows = 2 * (buckets > 0 ? buckets
		                        : most > 0  ? most
		                                    : s->context);
		s->relative.to_position = by && strstr(by, "c2p");
		s->relative.from_position = by && strstr(by, "p2c");
		s->relative.shared = truth(reader, "share_att_key", false);
	}
	if (rows)
		rows_free(rows);
	rows = look(reader, "norm_rel_ebd");
	by = rows ? rows_text(rows, 1) : NULL;
	s->relative.norm = by && strstr(by, "layer_norm");
	if (rows)
		rows_free(rows);
	if (!truth(reader, "position_biased_input", true))
		s->positions = 0;
	if (s->embedding && s->embedding != s->hidden)
		s->projection = PROJECT_BEFORE_NORM;
	if (number_of(reader, "conv_kernel_size", 0) > 0)
		strange(reader, "conv_kernel_size", "the model has a convolution");
	if (!truth(reader, "legacy", true))
		strange(reader, "legacy", "the model has a new head");
	if (number_of(reader, "pooler_hidden_size", s->hidden) != s->hidden)
		strange(reader, "pooler_hidden_size", "the pooler has another size");
	if (number_of(reader, "attention_head_size", s->head_dim) != s->head_dim)
		strange(reader, "attention_head_size", "heads have another size");
}

void config_encoder(struct reader *reader, struct shape *s)
{
	bool distil = s->family == FAMILY_DISTILBERT;

	s->dropout = fraction(reader, distil ? "dropout" : "hidden_dropout_prob",
	                      s->family == FAMILY_ALBERT ? 0 : 0.1) > 0;
	s->attention_dropout =
	        fraction(reader,
	                 distil ? "attention_dropout" : "attention_probs_dropout_prob",
	                 s->family == FAMILY_ALBERT ? 0 : 0.1) > 0;
	s->head_dropout = s->dropout || s->family == FAMILY_ALBERT;
	if (!distil)
		s->types = number_of(reader, "type_vocab_size",
		                     s->family == FAMILY_DEBERTA ? 0 : 2);
	if (s->family == FAMILY_ROBERTA && s->context > 2)
		s->context -= 2; /* the first two rows are padding's */
	if (s->family == FAMILY_ELECTRA || s->family == FAMILY_ALBERT)
		s->embedding = whole(reader, "embedding_size", 128);
	if (s->family == FAMILY_DEBERTA) {
		s->embedding = whole(reader, "embedding_size", s->hidden);
		refine_deberta(reader, s);
	}
	if (s->family == FAMILY_ALBERT ||
	    (s->family == FAMILY_ELECTRA && s->embedding != s->hidden))
		s->projection = PROJECT_AFTER_NORM;
	if (s->family == FAMILY_ALBERT) {
		s->shared = whole(reader, "num_hidden_groups", 1);
		if (whole(reader, "inner_group_num", 1) != 1)
			strange(reader, "inner_group_num",
			        "there are several layers in a group");
		if (!reader->failed && s->layers % s->shared)
			strange(reader, "num_hidden_groups",
			        "some groups have a layer more than others");
	}
	if (truth(reader, "is_decoder", false))
		strange(reader, "is_decoder", "an encoder is trained as a decoder");
	if (!truth(reader, "tie_word_embeddings", true))
		strange(reader, "tie_word_embeddings", "the head has words of its own");
}

static void refine_t5(struct reader *reader, struct shape *s, bool mt5)
{
	static const char key[] = "feed_forward_proj";
	struct rows *rows = look(reader, key);
	const char *type = rows ? rows_text(rows, 0) : NULL;
	const char *name = type && !strcmp(type, "text") ? rows_text(rows, 1)
	                   : mt5                         ? "gated-gelu"
	                                                 : "relu";

	if (!strncmp(name, "gated-", 6)) {
		s->mlp = MLP_GATED;
		s->gate =
		        strcmp(name, "gated-gelu") /* transformers takes another one */
		                ? function_called(reader, key, name + 6)
		                : MLP_GELU_NEW;
	} else {
		s->mlp = function_called(reader, key, name);
	}
	if (rows)
		rows_free(rows);
	s->decoder_layers = whole(reader, "num_decoder_layers", s->layers);
	s->buckets = whole(reader, "relative_attention_num_buckets", 32);
	s->context = whole(reader, "n_positions", 512);
	s->dropout = s->attention_dropout = fraction(reader, "dropout_rate", 0.1) > 0;
	s->tied = true; /* whatever the config says: it means the scale */
	s->scaled_output = !mt5 && truth(reader, "tie_word_embeddings", true);
}

void config_seq2seq(struct reader *reader, struct shape *s, bool mt5)
{
	static const char *const rates[] = {"activation_dropout", "encoder_layerdrop",
	                                    "decoder_layerdrop"};
	bool whisper = s->family == FAMILY_WHISPER;

	if (s->family == FAMILY_T5) {
		refine_t5(reader, s, mt5);
		return;
	}
	s->decoder_layers = whole(reader, "decoder_layers", whisper ? 4 : 12);
	if (whisper) {
		s->target_positions = whole(reader, "max_target_positions", 448);
		s->mel = whole(reader, "num_mel_bins", 80);
		s->pixels = s->positions < 1 << 16 && s->mel < 1 << 14
		                    ? 2 * s->positions * s->mel
		                    : -1; /* shape_check() refuses it */
	} else {
		s->positions += 2; /* both tables begin with two rows for padding */
		s->target_positions = s->positions;
	}
	s->dropout =
	        fraction(reader, "dropout", s->family == FAMILY_BART ? 0.1 : 0) > 0;
	s->attention_dropout = fraction(reader, "attention_dropout", 0) > 0;
	if (whole(reader, "decoder_ffn_dim", whisper ? 1536 : 4096) != s->ffn)
		strange(reader, "decoder_ffn_dim", "the two stacks have other layers");
	if (whole(reader, "decoder_attention_heads", whisper ? 6 : 16) != s->heads)
		strange(reader, "decoder_attention_heads",
		        "the two stacks have other layers");
	for (int i = 0; i < 3; i++)
		if (fraction(reader, rates[i], 0) > 0)
			strange(reader, rates[i],
			        i ? "layers are left out at random"
			          : "there is a dropout inside the feed-forward part");
	if (!truth(reader, "tie_word_embeddings", true))
		strange(reader, "tie_word_embeddings", "the head has words of its own");
}

void config_vision(struct reader *reader, struct shape *s)
{
	int64_t side = whole(reader, "image_size", 224),
	        part = whole(reader, "patch_size", 16),
	        channels = whole(reader, "num_channels", 3);

	if (reader->failed)
		return;
	if (side > 1 << 14 || part > side || channels > 1 << 8) {
		wrong(reader, "'%s' has no images that can be cut into patches",
		      reader->name);
		return;
	}
	s->vocab = 0;
	s->patch = channels * part * part;
	s->pixels = channels * side * side;
	s->positions = s->context = side / part * (side / part) + 1;
	s->qkv_bias = truth(reader, "qkv_bias", true);
	s->dropout = fraction(reader, "hidden_dropout_prob", 0) > 0;
	s->attention_dropout = fraction(reader, "attention_probs_dropout_prob", 0) > 0;
}

/* What it is trained for: by its class. Without one it is what transformers' lists of models have
 * first, as measure/train.py takes it. */
void config_head(struct reader *reader, struct shape *s)
{
	struct rows *rows = look(reader, "architectures[0]");
	const char *type = rows ? rows_text(rows, 0) : NULL;
	int task =
	        type && !strcmp(type, "text") ? task_of_class(rows_text(rows, 1)) : -1;

	if (rows)
		rows_free(rows);
	rows = db_rows(
	        reader->db,
	        "SELECT coalesce(json_extract(?1, '$.num_labels'),"
	        " (SELECT nullif(count(*), 0) FROM json_each(?1, '$.id2label')), 2)",
	        "t", reader->text);
	if (!s->classes && rows_next(rows))
		s->classes = rows_number(rows, 0);
	rows_free(rows);
	if (s->classes < 1)
		s->classes = 2;
	if (task < 0)
		s->head_assumed = true;
	else if (!task_take(s, (enum task)task))
		s->head = HEAD_NONE;
}
