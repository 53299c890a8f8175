/* transformer.h - a transformer's layers as Hugging Face's transformers runs them, on a tape. */
#ifndef TIDEMARK_ANALYSIS_TRANSFORMER_H
#define TIDEMARK_ANALYSIS_TRANSFORMER_H

#include "formula.h"
#include "ops.h"

struct norm_weights {
	struct ten weight, bias;
};

struct layer_weights {
	struct ten q, k, v, o, gate, up,
	        down; /* fused: q is q, k and v; gate is gate and up */
	struct ten q_bias, k_bias, v_bias, o_bias, gate_bias, up_bias, down_bias;
	struct norm_weights norm[4], q_norm, k_norm;
};

struct transformer {
	struct ops ops;
	const struct shape *shape;
	const struct training *training;
	int64_t batch, seq, tokens;
	int wide; /* bytes of a weight's element, and of the stream's */
	struct ten embedding, positions, types, head, head_bias;
	struct norm_weights final_norm, embedding_norm;
	struct layer_weights *layers;
	int64_t layer_count;
	struct ten cosine, sine, mask, ids, output;
	int64_t elements; /* of all weights */
	void *contexts;   /* of checkpointed layers, for the backward */
	int64_t *sizes;   /* elements of each weight */
	size_t count, room;
};

/* Makes the weights; they stay. false: layers of a kind that is not written here. */
bool transformer_make(struct transformer *model);
void transformer_free(struct transformer *model);

/* One layer's norm and attention; weights: what the attention returns beside. */
struct ten transformer_norm(struct transformer *model, struct ten x,
                            const struct norm_weights *weights, int64_t over);
/* cap * tanh(x / cap), in place of x */
struct ten transformer_capped(struct ops *o, struct ten x);
struct ten transformer_attention(struct transformer *model,
                                 const struct layer_weights *layer, struct ten x,
                                 struct ten *weights);

/* The attention of models that write it out in a way of their own. */
bool transformer_is_older(const struct shape *shape);
struct ten transformer_older_attention(struct transformer *model,
                                       const struct layer_weights *layer, struct ten x,
                                       struct ten *weights);

/* The forward with its loss. */
tensor_id transformer_forward(struct transformer *model);
void transformer_backward(struct transformer *model, tensor_id loss);

#endif
