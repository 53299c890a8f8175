/* model.h - the shape of a transformer and the list of its weights.
 *
 * Every architecture is the same description with other flags, so that a parameter
 * count is a sum over named tensors and nothing is counted by a rule of thumb. */
#ifndef TIDEMARK_ANALYSIS_MODEL_H
#define TIDEMARK_ANALYSIS_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* NORM_RMS_FP32 is Gemma's: it multiplies by 1 + weight before it leaves fp32; so does
 * NORM_RMS_WIDE, by the weight as it is. NORM_CENTERED is a LayerNorm without a bias, operator by
 * operator in fp32. NORM_WEIGHT is PyTorch's LayerNorm without a bias, NORM_BARE one in fp32 without
 * weights, NORM_ONE_PLUS one with 1 + weight, in 16 bits under autocast. NORM_T5 keeps its input as
 * it is beside a copy in fp32. */
enum norm {
	NORM_NONE,
	NORM_RMS,
	NORM_RMS_FP32,
	NORM_RMS_WIDE,
	NORM_CENTERED,
	NORM_T5,
	NORM_LAYER,
	NORM_WEIGHT,
	NORM_BARE,
	NORM_ONE_PLUS
};
/* Rotary positions: in the heads' own width, by tables in fp32, or all in fp32. */
enum rotation { ROTATION_PLAIN, ROTATION_TABLES_FP32, ROTATION_FP32 };
/* MLP_GELU_OWN is BLOOM's: a function with a backward of its own, operator by operator. */
enum mlp {
	MLP_GELU, /* and all that is one operator which keeps what it reads, as silu */
	MLP_GELU_NEW,
	MLP_GELU_FAST,
	MLP_GELU_OWN,
	MLP_GELU_QUICK,   /* x * sigmoid(1.702 * x), operator by operator */
	MLP_GELU_PYTHON,  /* x / 2 * (1 + erf(x / sqrt(2))), in the same way */
	MLP_GELU_CLIPPED, /* between two numbers */
	MLP_RELU, /* and all that is one operator which keeps what it gives, as tanh */
	MLP_RELU2,
	MLP_LAPLACE,
	MLP_LINEAR, /* none */
	MLP_GATED
};
/* What a model is trained for. HEAD_NONE: nothing that is known here. HEAD_MASKED: the words of an
 * encoder, behind a matmul and a norm. HEAD_SEQUENCE: classes of a sample. HEAD_TOKENS: of each
 * token. HEAD_CLASSES: of an image. HEAD_SEQ2SEQ: the words of a target that follows a source. HEAD_CONTRAST: pictures held
 * against texts, each projected to one width. */
enum head {
	HEAD_NONE,
	HEAD_LM,
	HEAD_MASKED,
	HEAD_SEQUENCE,
	HEAD_TOKENS,
	HEAD_CLASSES,
	HEAD_SEQ2SEQ,
	HEAD_CONTRAST
};
/* Where a stream may have dropout. */
enum place { PLACE_EMBEDDING = 1, PLACE_ATTENTION = 2, PLACE_MLP = 4 };
/* Where tables narrower than the stream are widened to it. */
enum projection { PROJECT_NONE, PROJECT_BEFORE_NORM, PROJECT_AFTER_NORM };

enum family {
#define FAMILY(id, ...) FAMILY_##id,
#include "families.def"
#undef FAMILY
	FAMILY_COUNT
};

/* Some of a model's layers. */
enum { LAYER_SET = 1024 };
struct layer_set {
	uint64_t bits[LAYER_SET / 64];
};

static inline bool layer_in(const struct layer_set *set, int64_t layer)
{
	return layer < LAYER_SET && (set->bits[layer / 64] >> layer % 64 & 1);
}

/* An image model whose layers stand in stages: each has the picture smaller and more channels. */
enum { STAGES = 8 };
struct stages {
	int count; /* 0: a model without them */
	int64_t depth[STAGES], width[STAGES], heads[STAGES];
	int64_t first;                /* channels of what the first stage reads */
	int64_t high, wide, channels; /* of a picture */
	int64_t patch, window;
	double ffn;      /* of the layers of a stage, in its channels */
	bool bottleneck; /* ResNet: three convolutions a layer, in place of two */
	bool narrow_early,
	        halved_first; /* ResNet: the first convolution of a stage strides; the
	                                    first stage has one that does */
	bool scaled;          /* ConvNeXt: branches are multiplied by trained numbers */
	bool left_out;        /* branches are left out at random */
	bool positioned;      /* Swin: a trained table of positions */
};

struct shape {
	enum family family; /* FAMILY_COUNT: a plain transformer */
	int64_t layers, hidden, ffn, heads, kv_heads, head_dim;
	int64_t vocab, positions, types; /* rows of the embedding tables; 0: no table */
	int64_t context;                 /* sequence length where none is asked for */
	int64_t patch;  /* inputs of a vision model's patch projection */
	int64_t pixels; /* of an image or a sound, in all its channels */
	int64_t classes;
	char packed
	        [24]; /* "nf4", "int8" or the method by which the published weights are
	                    packed, of which no weight here is counted; "" */
	int64_t embedding;      /* width of the embedding tables; 0: hidden */
	int64_t decoder_layers; /* of a second stack, which reads what the first gave; 0 */
	int64_t target_positions; /* rows of the second stack's own table */
	int64_t mel; /* Whisper: channels of a sound, whose positions are not trained */
	int64_t buckets; /* T5: rows of its tables of relative positions */
	int64_t shared; /* ALBERT: weights of so many layers serve all; 0: each its own */
	int64_t rotary; /* elements of a head that are rotated */
	int64_t buffer; /* bytes of a layer's tables that are no parameters */
	enum norm norm;
	enum mlp mlp;
	enum head head;
	enum rotation rotation;
	enum projection projection;
	int norms;       /* a layer; 1, in parallel: both read what one gave */
	int norms_first; /* so many of them are registered before what reads them */
	bool final_norm, embedding_norm,
	        head_norm; /* head_norm: q and k are normalised */
	bool qkv_bias, out_bias, mlp_bias, head_bias;
	int64_t window;            /* tokens that a windowed layer sees */
	struct layer_set windowed; /* layers that see a window of tokens alone */
	struct layer_set unturned; /* layers without rotary positions */
	bool tied;                 /* the head is the embedding */
	bool fused;                /* q, k, v (and gate, up) come from one matmul */
	bool fused_gate;           /* gate and up alone come from one matmul */
	bool own_tables;           /* rotary tables are copied in each layer */
	bool complex;      /* one table of complex numbers in fp32 in their place */
	bool two_tables;   /* windowed layers have rotary tables of their own */
	bool softmax_fp32; /* the written-out attention takes its softmax in fp32 */
	bool parallel;     /* GPT-NeoX: attention and feed-forward read one input */
	bool post_norm; /* norms of what attention and feed-forward give; with four norms a
	                    layer, of what they read too */
	bool whole_norm;     /* head_norm is of all heads together */
	bool views_after;    /* heads are told apart when all three matmuls have run */
	bool own_rotation;   /* in the attention itself */
	bool dropout_inside; /* of the stream, in the attention itself */
	bool norm_at_once;   /* queries are normalised before the keys are made */
	bool each_position;  /* is counted for each sample */
	bool flattened;      /* the stream is reshaped behind each sum */
	bool scaled_queries; /* in place of the scores */
	bool clipped;        /* what the queries, keys and values may be is bounded */
	bool grouped; /* Falcon: a matmul's heads lie in groups, and are laid out anew */
	const char
	        *unwalked; /* what makes its step one whose order is not known; NULL */
	bool written_only; /* transformers has its attention operator by operator alone */
	bool two_masks;    /* of layers that see all, and of those that see a window */
	bool score_cap, logit_cap; /* Gemma 2: cap * tanh(x / cap) */
	/* Granite: multiplied by a number of the config */
	bool scaled_embedding, scaled_residual, scaled_logits;
	/* DeBERTa: rows of the table of relative positions, and what attends to what by it */
	struct {
		int64_t rows;
		bool norm, shared, to_position, from_position;
	} relative;
	/* A router picks some of many experts for each token in these layers; in the others the
	 * feed-forward is as wide as ffn. */
	struct {
		struct layer_set layers;
		int64_t sparse; /* how many layers these are; 0: a model without experts */
		int64_t count, chosen; /* in a layer; by a token */
		int64_t width,
		        shared; /* of one; of what all tokens go through beside, or 0 */
		bool shared_gate; /* whose result is multiplied by a number for each token */
		int64_t groups; /* of experts, of which the best ones are looked at; 0: of all */
		bool shares;      /* the router's weights of a token add up to 1 */
		bool plain_heads; /* Llama 4: turned queries and keys are not normalised */
		bool warm; /* ... and queries without positions have a temperature */
		bool aux_loss; /* the router's logits are kept for a loss of their own */
	} experts;
	/* DeepSeek: keys and values come of one narrow vector a token, queries of another. keys 0: they
	 * do not; queries 0: these alone do not. In a head `value` elements of values. */
	struct {
		int64_t queries, keys, value;
		bool halves; /* the halves of what is turned belong together, not its neighbours */
	} latent;
	/* Mamba 2: a state of so many numbers for each element of a head, read by groups of heads */
	struct {
		int64_t size, groups, kernel; /* kernel: tokens of its convolution */
		bool bias, kernel_bias;
	} state;
	bool no_key_bias;   /* where queries and values have one */
	enum mlp gate;      /* of MLP_GATED: its function */
	bool scaled_output; /* T5: what the head reads is scaled */
	bool encoder;      /* every token sees all others; norms come behind the sums */
	bool head_assumed; /* the config names none */
	bool head_dropout; /* before the head's last matmul */
	bool dropout;      /* trained with it by default */
	int undropped;     /* enum place: where its stream has none all the same */
	bool attention_dropout; /* of the attention's weights too */
	struct stages stages;
	/* CLIP: a second tower, which reads pictures; layers 0: there is none */
	struct {
		int64_t layers, hidden, ffn, heads, positions, patch, pixels;
		enum mlp mlp;
		bool attention_dropout;
		int64_t projection; /* the width in which both towers' results meet */
	} pictures;
};

/* What all models of a family have in common; sizes are 0. */
const struct shape *family_shape(enum family family);

enum role {
	ROLE_EMBEDDING,
	ROLE_POSITION,
	ROLE_ATTENTION,
	ROLE_MLP,
	ROLE_NORM,
	ROLE_BIAS,
	ROLE_HEAD,
	ROLE_EXPERTS, /* of all experts of a layer, in one tensor */
	ROLE_ROUTER,
	ROLE_CONVOLUTION,
	ROLE_ANY, /* nothing is known but its size */
	ROLE_COUNT
};
extern const char *const role_names[ROLE_COUNT];

enum lora_target {
	LORA_Q,
	LORA_K,
	LORA_V,
	LORA_O,
	LORA_GATE,
	LORA_UP,
	LORA_DOWN,
	LORA_COUNT
};
extern const char *const lora_target_names[LORA_COUNT];

struct weight {
	enum role role;
	int64_t rows, columns; /* columns 0: a vector of rows elements */
	int64_t copies;        /* as many of them, in all layers together */
	int target;            /* enum lora_target, or -1 */
	bool frozen;           /* not trained: no gradient and no optimizer state */
	int bits; /* of an element that is stored in its own way; 0: as the training */
	int64_t stacked; /* so many of these matrices in one tensor; 0: one */
};

/* Starts as all zeros; model_free() gives the weights back. */
struct model {
	char name[64];
	bool known; /* shape is valid: activations can be computed */
	struct shape shape;
	struct weight *weights;
	size_t count, room;
	int64_t parameters; /* their sum */
	bool quantised;     /* some weights are packed, two elements in a byte */
};

/* Does the stream have dropout there, in a training with it? */
static inline bool shape_drops(const struct shape *shape, enum place place)
{
	return shape->dropout && !(shape->undropped & (int)place);
}

/* Are there logits of the vocabulary? */
bool shape_has_words(const struct shape *shape);
/* Width of the embedding tables; layers that have weights of their own. */
int64_t shape_embedding(const struct shape *shape);
int64_t shape_own_layers(const struct shape *shape);
/* Is the length of what it reads its own, as an image's is? */
bool shape_is_fixed(const struct shape *shape);
/* The tower that reads pictures, of a shape that has one, as a shape. */
void shape_of_pictures(const struct shape *shape, struct shape *pictures);
/* Of both stacks. */
int64_t shape_all_layers(const struct shape *shape);

/* A named model. false: unknown; nearest is then the closest names, or empty. */
bool model_find(const char *name, struct shape *shape, char *nearest, size_t size);
const char *model_name(int index); /* NULL after the last */

/* The plain transformer of the notes: 12 D^2 a layer, no biases, no norms. */
void shape_plain(struct shape *shape);

/* 0, or -1 with one sentence in why: sizes that contradict each other. */
int shape_check(const struct shape *shape, char *why, size_t size);

/* Lists the weights of a checked shape. 0, or -1: the count overflows. */
int model_from_shape(struct model *model, const struct shape *shape);

/* One more weight of a model; 0, or -1: the count overflows. */
int model_add(struct model *model, struct weight weight);

/* A matrix of in x out elements with its bias, and a feed-forward part of the model's kind, as many
 * times as there are copies; the same answers. */
int model_linear(struct model *model, enum role role, int target, int64_t in,
                 int64_t out, int64_t copies, bool bias);
int model_feed_forward(struct model *model, const struct shape *s, int64_t width,
                       int64_t copies);

void model_free(struct model *model);

/* Elements of the weights that are not frozen. */
int64_t model_trained(const struct model *model);

/* Does autocast keep a 16-bit copy of it for the backward? A matmul's weight. */
bool weight_is_copied(const struct model *model, const struct weight *weight);

/* Elements in one copy, and in all; their sum was checked by model_add(). */
int64_t weight_size(const struct weight *weight);
int64_t weight_elements(const struct weight *weight);

#endif
