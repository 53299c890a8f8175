/* pictures.c - what a config.json says of image models of stages, ResNet, ConvNeXt and Swin, and
 * of pictures held against texts: CLIP.
 * Keys and their values where they are not given: models/NAME/configuration_NAME.py of
 * transformers 5.23.
 * Called from: config.c. */
#include "pictures.h"

#include <stdio.h>
#include <string.h>

#include "functions.h"

enum { MOST = 1 << 14, DEEPEST = 256 }; /* so that products of sizes stay small */

/* One of the numbers in a list. */
static int64_t listed(struct reader *reader, const char *key, int index,
                      int64_t otherwise, int64_t most)
{
	char name[64];
	int64_t value;

	snprintf(name, sizeof(name), "%s[%d]", key, index);
	value = whole(reader, name, otherwise);
	if (!reader->failed && value > most)
		wrong(reader, "'%s' in '%s' can't be %lld", name, reader->name,
		      (long long)value);
	return reader->failed ? 1 : value;
}

static bool is_list(struct reader *reader, const char *key)
{
	struct rows *rows = look(reader, key);
	const char *type = rows ? rows_text(rows, 0) : NULL;
	bool list = type && !strcmp(type, "array");

	if (type && !list && strcmp(type, "null") != 0)
		wrong(reader, "'%s' in '%s' is not a list but of type %s", key,
		      reader->name, type);
	if (rows)
		rows_free(rows);
	return list;
}

/* A number, or a list of two: both sides. */
static void two_sides(struct reader *reader, const char *key, int64_t otherwise,
                      int64_t *high, int64_t *wide)
{
	if (has_type(reader, key, "array")) {
		*high = listed(reader, key, 0, -1, MOST);
		*wide = listed(reader, key, 1, -1, MOST);
		return;
	}
	*high = *wide = whole(reader, key, otherwise);
	if (!reader->failed && *high > MOST)
		wrong(reader, "'%s' in '%s' can't be %lld", key, reader->name,
		      (long long)*high);
}

/* How many stages there are: numbers in the list of depths. */
static int count_stages(struct reader *reader)
{
	int count = 0;
	bool there = true;
	char name[64];

	if (!is_list(reader, "depths"))
		return 0;
	for (; there && count <= STAGES; count += there) {
		struct rows *rows;
		snprintf(name, sizeof(name), "depths[%d]", count);
		rows = look(reader, name);
		there = rows && rows_text(rows, 0);
		if (rows)
			rows_free(rows);
	}
	if (!count || count > STAGES)
		wrong(reader, "'%s' has no 'depths' of 1 to %d stages", reader->name,
		      STAGES);
	return count;
}

/* The stages: their layers, channels and heads; usual: of a config that does not say them. */
static void read_stages(struct reader *reader, struct shape *shape,
                        const int64_t usual_depth[4], const int64_t usual_width[4],
                        const int64_t usual_heads[4])
{
	struct stages *s = &shape->stages;
	int given = count_stages(reader);
	bool swin = shape->family == FAMILY_SWIN;
	int64_t first = swin ? whole(reader, "embed_dim", usual_width[0]) : 0;

	s->count = given ? given : 4;
	for (int i = 0; i < s->count && !reader->failed; i++) {
		bool usual = !given && i < 4;
		s->depth[i] = listed(reader, "depths", i, usual ? usual_depth[i] : -1,
		                     DEEPEST);
		if (swin)
			s->width[i] = first < MOST ? first << i : MOST + 1;
		else
			s->width[i] = listed(reader, "hidden_sizes", i,
			                     i < 4 && !is_list(reader, "hidden_sizes")
			                             ? usual_width[i]
			                             : -1,
			                     MOST);
		s->heads[i] = swin ? listed(reader, "num_heads", i,
		                            usual ? usual_heads[i] : -1, MOST)
		                   : 1;
		shape->layers += s->depth[i];
		if (!reader->failed &&
		    (s->width[i] > MOST || s->width[i] % s->heads[i]))
			wrong(reader,
			      "'%s' has %lld channels in a stage with %lld heads",
			      reader->name, (long long)s->width[i],
			      (long long)s->heads[i]);
	}
	if (reader->failed)
		return;
	shape->hidden = s->width[s->count - 1];
	shape->heads = shape->kv_heads = s->heads[s->count - 1];
	shape->head_dim = shape->hidden / shape->heads;
	shape->ffn = shape->hidden;
	shape->context = 0; /* a picture is no sequence */
}

static void resnet(struct reader *reader, struct shape *shape)
{
	static const int64_t depth[] = {3, 4, 6, 3}, width[] = {256, 512, 1024, 2048};
	struct stages *s = &shape->stages;

	read_stages(reader, shape, depth, width, NULL);
	s->first = whole(reader, "embedding_size", 64);
	s->bottleneck = !is_other(reader, "layer_type", "bottleneck");
	s->narrow_early = truth(reader, "downsample_in_bottleneck", false);
	s->halved_first = truth(reader, "downsample_in_first_stage", false);
	for (int i = 0; i < s->count && !reader->failed; i++)
		if (s->first > MOST || (s->bottleneck && s->width[i] < 4))
			wrong(reader, "'%s' has stages that are too narrow or too wide",
			      reader->name);
	if (is_other(reader, "hidden_act", "relu"))
		strange(reader, "hidden_act", "the function is not relu");
	if (is_other(reader, "layer_type", "bottleneck|basic"))
		strange(reader, "layer_type", "the layers are of another kind");
}

static void convnext(struct reader *reader, struct shape *shape)
{
	static const int64_t depth[] = {3, 3, 9, 3}, width[] = {96, 192, 384, 768};
	struct stages *s = &shape->stages;

	read_stages(reader, shape, depth, width, NULL);
	if (whole(reader, "num_stages", s->count) != s->count)
		wrong(reader, "'%s' has another number of 'depths' than 'num_stages'",
		      reader->name);
	s->patch = whole(reader, "patch_size", 4);
	s->ffn = 4;
	s->scaled = real_of(reader, "layer_scale_init_value", 1e-6) > 0;
}

static void swin(struct reader *reader, struct shape *shape)
{
	static const int64_t depth[] = {2, 2, 6, 2}, width[] = {96, 192, 384, 768},
	                     heads[] = {3, 6, 12, 24};
	struct stages *s = &shape->stages;

	read_stages(reader, shape, depth, width, heads);
	s->patch = whole(reader, "patch_size", 4);
	s->window = whole(reader, "window_size", 7);
	s->ffn = real_of(reader, "mlp_ratio", 4);
	s->positioned = truth(reader, "use_absolute_embeddings", false);
	shape->qkv_bias = truth(reader, "qkv_bias", true);
	shape->dropout = fraction(reader, "hidden_dropout_prob", 0) > 0;
	shape->attention_dropout =
	        fraction(reader, "attention_probs_dropout_prob", 0) > 0;
	if (!reader->failed &&
	    !(s->window <= 1 << 10 && s->ffn >= 1.0 / 64 && s->ffn <= 64))
		wrong(reader, "'%s' has windows or layers that are too wide",
		      reader->name);
}

void config_stages(struct reader *reader, struct shape *shape)
{
	struct stages *s = &shape->stages;
	int64_t least;

	if (shape->family == FAMILY_RESNET)
		resnet(reader, shape);
	else if (shape->family == FAMILY_CONVNEXT)
		convnext(reader, shape);
	else
		swin(reader, shape);
	if (shape->family != FAMILY_RESNET) {
		s->left_out = fraction(reader, "drop_path_rate",
		                       shape->family == FAMILY_SWIN ? 0.1 : 0) > 0;
		if (is_other(reader, "hidden_act", "gelu"))
			strange(reader, "hidden_act", "the function is not gelu");
	}
	two_sides(reader, "image_size", 224, &s->high, &s->wide);
	s->channels = whole(reader, "num_channels", 3);
	if (reader->failed)
		return;
	least = s->high < s->wide ? s->high : s->wide;
	if (shape->family == FAMILY_CONVNEXT) /* each stage after the first halves it */
		least >>= s->count - 1;
	if (s->channels > 1 << 8 || s->patch > least)
		wrong(reader, "'%s' has no images that can be cut into patches",
		      reader->name);
	shape->pixels = s->channels * s->high * s->wide;
}

static void texts(struct reader *reader, struct shape *s)
{
	s->hidden = whole(reader, "text_config.hidden_size", 512);
	s->layers = whole(reader, "text_config.num_hidden_layers", 12);
	s->heads = s->kv_heads = whole(reader, "text_config.num_attention_heads", 8);
	s->ffn = whole(reader, "text_config.intermediate_size", 2048);
	s->vocab = whole(reader, "text_config.vocab_size", 49408);
	s->positions = s->context =
	        whole(reader, "text_config.max_position_embeddings", 77);
	s->attention_dropout = fraction(reader, "text_config.attention_dropout", 0) > 0;
	s->mlp = function_read(reader, "text_config.hidden_act", MLP_GELU_QUICK);
}

void config_towers(struct reader *reader, struct shape *s)
{
	int64_t side = whole(reader, "vision_config.image_size", 224),
	        part = whole(reader, "vision_config.patch_size", 32),
	        channels = whole(reader, "vision_config.num_channels", 3);

	texts(reader, s);
	s->pictures.projection = whole(reader, "projection_dim", 512);
	s->pictures.hidden = whole(reader, "vision_config.hidden_size", 768);
	s->pictures.layers = whole(reader, "vision_config.num_hidden_layers", 12);
	s->pictures.heads = whole(reader, "vision_config.num_attention_heads", 12);
	s->pictures.ffn = whole(reader, "vision_config.intermediate_size", 3072);
	s->pictures.attention_dropout =
	        fraction(reader, "vision_config.attention_dropout", 0) > 0;
	s->pictures.mlp =
	        function_read(reader, "vision_config.hidden_act", MLP_GELU_QUICK);
	if (reader->failed)
		return;
	if (has_type(reader, "text_config_dict", "object") ||
	    has_type(reader, "vision_config_dict", "object"))
		wrong(reader,
		      "'%s' has its towers a second time, in 'text_config_dict', "
		      "which is not understood",
		      reader->name);
	else if (side > MOST || part > side || channels > 1 << 8)
		wrong(reader, "'%s' has no images that can be cut into patches",
		      reader->name);
	else if (s->hidden % s->heads || s->pictures.hidden % s->pictures.heads)
		wrong(reader, "heads don't divide the hidden size of a tower in '%s'",
		      reader->name);
	else if (s->pictures.projection > MOST || s->pictures.layers > 1 << 10 ||
	         s->pictures.hidden > 1 << 20 || s->pictures.ffn > 1 << 24)
		wrong(reader, "'%s' has a tower that is too large", reader->name);
	s->head_dim = s->hidden / s->heads;
	s->pictures.patch = channels * part * part;
	s->pictures.pixels = channels * side * side;
	s->pictures.positions = side / part * (side / part) + 1;
}
