/* transformer.h - a transformer's layers as Hugging Face's transformers runs them, on a tape. */
#ifndef TIDEMARK_ANALYSIS_TRANSFORMER_H
#define TIDEMARK_ANALYSIS_TRANSFORMER_H

#include "formula.h"
#include "ops.h"
#include "sharded.h"
#include "stages.h"

struct norm_weights {
	struct ten weight, bias;
};

/* LoRA's: rank x in, and out x rank. */
struct adapter {
	bool there;
	struct ten down, up;
};

struct layer_weights {
	struct ten q, k, v, o, gate, up,
	        down; /* fused: q is q, k and v; gate is gate and up */
	struct ten q_bias, k_bias, v_bias, o_bias, gate_bias, up_bias, down_bias;
	struct norm_weights norm[4], q_norm, k_norm;
	struct ten far_k, far_k_bias, far_q,
	        far_q_bias; /* DeBERTa: of relative positions */
	struct adapter adapters[LORA_COUNT];
	/* DeepSeek: what makes narrow vectors; q and k are then what makes queries, and keys with values,
	 * of them. */
	struct ten narrow_q, narrow_q_bias, narrow_kv, narrow_kv_bias;
	struct ten router, experts_in, experts_out,
	        shared_gate;     /* of a layer with experts */
	bool sparse;             /* it has them */
	bool windowed, unturned; /* sees a window alone; has no rotary positions */
};

struct transformer {
	struct ops ops;
	const struct shape *shape;
	const struct training *training;
	int64_t batch, seq, tokens;
	int64_t keys; /* tokens of each sample that are attended to */
	int wide;     /* bytes of a weight's element, and of the stream's */
	struct ten embedding, positions, types, projection, projection_bias, relative;
	struct norm_weights embedding_norm, relative_norm, final_norm, head_norm;
	struct ten dense, dense_bias, head,
	        head_bias; /* dense: the head's first matmul */
	struct ten embedding_bias, first_token,
	        pixels;                     /* of a model that reads images */
	struct ten sound[2], sound_bias[2]; /* Whisper's convolutions */
	struct layer_weights *layers, *decoder,
	        *cross; /* cross: a norm and attention */
	struct norm_weights decoder_norm, decoder_embedding_norm;
	struct ten decoder_positions, tables[2]; /* tables: T5's, of each stack */
	int64_t layer_count;
	struct ten cosine, sine, mask, other_mask, ids,
	        output; /* other_mask: of windowed layers */
	struct ten
	        bias; /* T5: of relative positions, for this layer's scores; or none */
	struct ten memory; /* what a first stack gave; `outputs` holds it */
	struct ten named;  /* what a layer names until its sum has its norm; or none */
	struct ten
	        asked; /* rows whose gradient was asked for; their graph holds them */
	struct ten stack_bias[2], cross_bias; /* T5's, of each stack and between them */
	struct ten places,
	        far; /* DeBERTa: of two tokens, and the table as it is read */
	struct ten other_tables[2]; /* of windowed layers, where they have their own */
	int64_t elements;           /* of all weights */
	void *contexts;             /* of checkpointed layers, for the backward */
	int64_t *sizes;             /* elements of each weight */
	struct matrix {
		int64_t rows, columns; /* columns 1: a vector */
		int64_t stacked; /* so many matrices in one tensor; 0: one, or a vector */
		bool table;      /* an embedding, or the head: Muon leaves it */
	} * matrices;            /* of the same weights */
	size_t matrix_room;
	size_t count, room;
	struct transformer *pictures; /* CLIP's second tower; NULL */
	struct ten scale;             /* ... of the similarities, which is trained */
	struct staged *staged;     /* the modules of an image model of stages; NULL */
	struct sharding *sharding; /* among several devices; NULL: none */
};

/* Makes the weights; they stay. false: layers of a kind that is not written here. */
bool transformer_make(struct transformer *model);
void transformer_free(struct transformer *model);

/* A weight of the model: of rows x columns elements, or of so many such matrices. */
struct ten transformer_weight(struct transformer *model, int64_t rows, int64_t columns,
                              int64_t stacked);

/* Does a dropout of its stream do anything in this training? */
static inline bool transformer_drops(const struct transformer *m)
{
	return m->shape->dropout && m->training->dropout;
}

static inline bool transformer_drops_in(const struct transformer *m, enum place place)
{
	return m->training->dropout && shape_drops(m->shape, place);
}

/* A matmul of a layer, with the adapters of this target where they are. x: rows x in. */
struct ten transformer_linear(struct transformer *model,
                              const struct layer_weights *layer, enum lora_target which,
                              struct ten x, struct ten weight, struct ten bias,
                              int64_t in, int64_t out);

/* What the ids name in the table of words. */
struct ten transformer_words(struct transformer *model);

/* One layer's norm and attention; weights: what the attention returns beside. */
struct ten transformer_norm(struct transformer *model, struct ten x,
                            const struct norm_weights *weights, int64_t over);
/* x * rsqrt(mean(x ** 2) + eps) in fp32, and back; nothing is given up. */
struct ten transformer_bare_rms_norm(struct transformer *model, struct ten x,
                                     int64_t over);
/* cap * tanh(x / cap), in place of x */
struct ten transformer_capped(struct ops *o, struct ten x);
struct ten transformer_attention(struct transformer *model,
                                 const struct layer_weights *layer, struct ten x,
                                 struct ten *weights);
/* Keys and values of what the first stack gave, all of which is seen. */
struct ten transformer_attention_to_memory(struct transformer *model,
                                           const struct layer_weights *layer,
                                           struct ten x, struct ten *weights);

/* DeepSeek's, with its output matmul. */
struct ten latent_attention(struct transformer *model,
                            const struct layer_weights *layer, struct ten x,
                            struct ten *weights);
/* Puts into op what the backward of the memory-efficient kernel works in: heads of all samples; value
 * is the width of one, head_dim that of a query. */
struct attending {
	int64_t heads, queries, head_dim, value;
};
void kernel_efficient_backward(const struct ops *o, struct op *op,
                               const struct attending *by, int width);

/* What attends in a layer; width: bytes of a query's element. */
enum kernel {
	KERNEL_WRITTEN, /* operator by operator, by transformers */
	KERNEL_BIASED,
	KERNEL_MASKED,
	KERNEL_COMPOSED, /* the same, by PyTorch */
	KERNEL_FUSED
};
enum kernel transformer_kernel(const struct transformer *model,
                               const struct layer_weights *layer, int width);
/* Of queries, keys and values; weights: what it returns beside, or none. */
struct ten transformer_attended(struct transformer *model,
                                const struct layer_weights *layer, struct ten q,
                                struct ten k, struct ten v, struct ten *weights);
/* 16 bits that the card has no kernel of attention for. */
bool transformer_lacks_bf16(const struct transformer *model);
/* Are a rotated part of each head and the rest of it put together anew? */
bool transformer_rotates_parts(const struct shape *shape);

/* Keys or values once for each head. */
struct ten transformer_each_head(struct transformer *model, struct ten x);
/* The same: a view where all heads share one. */
struct ten transformer_shared(struct transformer *model, struct ten x);
/* Queries and keys, turned by their positions, in place of what they were. */
void transformer_turn(struct transformer *model, struct ten heads[2]);

/* A layer of Falcon. */
tensor_id falcon_layer(struct transformer *model, const struct layer_weights *layer,
                       struct ten x);

/* A branch's last matmul has read this: it goes, or the layer names it. */
void transformer_let_read(struct transformer *model, struct ten *read);

/* The function of a feed-forward part, or of its gate. */
struct ten transformer_function(struct ops *o, enum mlp function, struct ten x);
struct ten transformer_feed_forward(struct transformer *model,
                                    const struct layer_weights *layer, struct ten x);
/* A gate, what is beside it and what follows both, so wide. */
struct ten transformer_gated(struct transformer *model,
                             const struct layer_weights *layer, struct ten x,
                             int64_t width);

/* Llama 4's: queries and keys are given other values in place. */
void llama4_positions(struct transformer *model, const struct layer_weights *layer,
                      struct ten *q, struct ten *k);
struct ten llama4_experts(struct transformer *model, const struct layer_weights *layer,
                          struct ten x);

/* What of the model's experts, where it has some, is not written here for this training; NULL: all
 * is. */
const char *experts_lacking(const struct transformer *model);

/* Is all of the model and of the training written here? why: the reason where not; NULL with a
 * size of 0. */
bool walk_is_written(const struct transformer *model, char *why, size_t size);
/* The feed-forward of a layer with experts. */
struct ten experts_forward(struct transformer *model, const struct layer_weights *layer,
                           struct ten x);

/* DeBERTa's attention with its output matmul, and what all its layers read. */
struct ten deberta_attention(struct transformer *model,
                             const struct layer_weights *layer, struct ten x);
void deberta_begins(struct transformer *model);
void deberta_ends(struct transformer *model);

/* The patches of images, as the layers read them. */
struct ten vision_embedded(struct transformer *model);

/* Swin's attention in windows, of what is let go of; table: of relative positions. What the layer's
 * variables hold until its sum, and to its end. */
struct windows {
	const struct unit *unit;
	const struct layer_weights *weights;
	struct ten table, until_sum, to_end[4];
};
struct ten windows_attended(struct transformer *model, struct windows *windows,
                            struct ten *x);
/* Four places of a picture become one. */
struct ten windows_merged(struct transformer *model, const struct unit *unit,
                          struct ten x);

/* An image model of stages: its weights, and the forward with its loss. */
bool stages_make(struct transformer *model);
void stages_free(struct transformer *model);
tensor_id stages_forward(struct transformer *model);

/* What Whisper's stacks read, and a layer of one; cross: of the second stack. What is held while
 * the stack runs. */
struct ten whisper_embedded(struct transformer *model, bool second, struct ten held[2]);
tensor_id whisper_layer(struct transformer *model, const struct layer_weights *layer,
                        const struct layer_weights *cross, struct ten x);

/* The loss of every head but a decoder's words. */
struct ten heads_loss(struct transformer *model, struct ten x);

/* The attention of models that write it out in a way of their own. */
bool transformer_is_older(const struct shape *shape);
struct ten transformer_older_attention(struct transformer *model,
                                       const struct layer_weights *layer, struct ten x,
                                       struct ten *weights);

/* CLIP: the tower that reads pictures, made behind the one of texts, and both with their loss. */
bool clip_make(struct transformer *model);
void clip_free(struct transformer *model);
tensor_id clip_forward(struct transformer *model);
/* So many elements of a tensor, as a view: its gradient is of the whole. */
struct ten transformer_part(struct ops *o, struct ten x, int64_t count);
/* The layers of a decoder, or of a tower, and the norm behind them. */
struct ten transformer_body(struct transformer *model);
/* The weights of another one are this one's too, for the optimizer. */
void transformer_take_weights(struct transformer *model,
                              const struct transformer *from);

/* The forward with its loss: of a decoder, of an encoder. */
tensor_id transformer_forward(struct transformer *model);
tensor_id encoder_forward(struct transformer *model);
tensor_id seq2seq_forward(struct transformer *model);
void transformer_backward(struct transformer *model, tensor_id loss);

#endif
