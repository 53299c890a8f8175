/* saved.c - the tensors that autograd keeps from forward to backward, as the usual
 * implementations of the layers produce them (tests/plan/saved_tensors.py compares it with
 * what torch saves).
 * Called from: activation.c. */
#include "saved.h"

#include "experts.h"
#include "functions.h"
#include "tokens.h"

#define PAPER "Korthikanti et al. 2022, arXiv 2205.05198, "
#define SAVED "PyTorch autograd: tensors saved by "

/* Bytes a token that the norms of one layer keep, and the inputs of the matmuls that
 * follow them. An RMSNorm of the usual kind computes in fp32: it keeps its fp32 input,
 * the normalised values and one factor a token. */
static int64_t norm_bytes(const struct context *c)
{
	const struct shape *s = c->shape;
	if (s->norm == NORM_RMS || s->norm == NORM_T5)
		return (4 + c->stream) * s->hidden + 4;
	if (s->norm == NORM_BARE)
		return 4 * s->hidden + 8;
	if (s->norm == NORM_CENTERED)
		return 12 * s->hidden + 4;
	if (s->norm == NORM_RMS_FP32 || s->norm == NORM_RMS_WIDE)
		return 8 * s->hidden + 4;
	if (s->norm == NORM_LAYER || s->norm == NORM_WEIGHT || s->norm == NORM_ONE_PLUS)
		return c->stream * s->hidden + 8; /* mean and 1/deviation */
	return 0;
}

static int64_t norms_bytes(const struct context *c)
{
	int norms = c->shape->norms > 2 ? 4 : c->shape->norms == 1 ? 1 : 2;
	return norms * norm_bytes(c) -
	       (c->shape->parallel && norms == 2 ? c->stream * c->shape->hidden : 0);
}

/* Autocast casts the fp32 output of a norm anew for each matmul that reads it. */
static int64_t input_bytes(const struct context *c)
{
	const struct shape *s = c->shape;
	int64_t matmuls = 2;
	if (c->training->autocast && !s->fused)
		matmuls = 3 + (s->mlp == MLP_GATED ? 2 : 1);
	return matmuls * c->wide * s->hidden;
}

/* Qwen3's norms on q and k. */
static int64_t head_norm_bytes(const struct context *c)
{
	const struct shape *s = c->shape;
	int64_t heads = s->heads + s->kv_heads;
	return s->head_norm ? (4 + c->wide) * heads * s->head_dim + 4 * heads : 0;
}

static int64_t mlp_bytes(const struct context *c)
{
	const struct shape *s = c->shape;
	bool gated = s->mlp == MLP_GATED;
	/* pow() runs in fp32 under CUDA's autocast, and what follows it */
	if ((gated ? s->gate : s->mlp) == MLP_GELU_NEW && c->training->autocast)
		return (gated ? 22 : 16) * s->ffn;
	return shape_keeps(s) * c->wide * s->ffn;
}

/* Bytes a token in a layer with experts: what each expert that it goes to keeps of it, and what the
 * router and the feed-forward part beside them do. */
static int64_t expert_bytes(const struct context *c)
{
	const struct shape *s = c->shape;
	bool grouped = experts_are_grouped(s);
	int64_t copies = grouped ? s->experts.chosen : s->experts.count;
	/* autocast leaves the one matmul of all experts as wide as the weights */
	int64_t wide = grouped ? c->stream : c->wide;
	/* its input, both halves, the function, their product; the output, weighted; its places */
	int64_t each = wide * (2 * s->hidden + 4 * s->experts.width) + 4 * 8;

	return copies * each + 4 * s->experts.count + 4 * c->wide * s->experts.shared;
}

static int64_t sparse_of(const struct context *c, int64_t count)
{
	return count < c->shape->experts.sparse ? count : c->shape->experts.sparse;
}

static int64_t dropouts(const struct context *c)
{
	const struct shape *s = c->shape;

	return c->training->dropout
	               ? shape_drops(s, PLACE_ATTENTION) + shape_drops(s, PLACE_MLP)
	               : 0;
}

/* Bytes of attention scores a token and head and key. */
static int64_t score_bytes(const struct context *c)
{
	int64_t bytes = c->wide;
	bool fp32 = c->shape->softmax_fp32 || c->training->autocast;
	if (c->training->attention == ATTENTION_FLASH)
		return 0;
	if (fp32 && c->wide < 4)
		bytes += 4; /* softmax in fp32, then a copy in 16 bits */
	if (c->training->dropout && c->shape->attention_dropout)
		bytes += c->wide + 1; /* what is left, and the mask */
	return bytes;
}

/* DeepSeek's: the narrow vectors with their norms, what becomes of them, and the output. */
static int64_t latent_bytes(const struct context *c)
{
	const struct shape *s = c->shape;
	int64_t narrow = s->latent.queries + s->latent.keys,
	        plain = s->head_dim - s->rotary;

	return (4 + 3 * c->wide) * narrow + c->wide * s->rotary +
	       c->wide * s->heads * (2 * s->head_dim + plain + 2 * s->latent.value) +
	       4 * s->heads;
}

static int64_t attention_bytes(const struct context *c)
{
	const struct shape *s = c->shape;
	int64_t inner = s->heads * s->head_dim, keys = s->kv_heads * s->head_dim;

	if (s->latent.keys)
		return latent_bytes(c);
	if (c->training->attention == ATTENTION_MATH)
		return c->wide * 4 *
		       inner; /* keys and values repeated for every head */
	/* q and k are rotated copies, v keeps what the one matmul gave, and the output
	 * is laid out anew for the next matmul. */
	if (s->fused && s->rotary)
		return c->wide * (4 * inner + 3 * keys) + 4 * s->heads;
	return c->wide * (2 * inner + 2 * keys) + 4 * s->heads;
}

static int64_t layer_bytes(const struct context *c)
{
	const struct shape *s = c->shape;
	int64_t bytes = norms_bytes(c) + input_bytes(c) + head_norm_bytes(c);
	bytes += attention_bytes(c) +
	         (s->experts.sparse ? expert_bytes(c) : mlp_bytes(c));
	return bytes + dropouts(c) * s->hidden;
}

static void print_layers(struct context *c, int64_t count, bool scores)
{
	const struct shape *s = c->shape;
	int64_t square =
	        product(c, product(c, s->heads, c->training->seq), score_bytes(c));

	per_token(c, count, norms_bytes(c) + head_norm_bytes(c), SAVED "the norms",
	          TERM_NORMS);
	per_token(c, count, input_bytes(c), SAVED "the matmuls that follow the norms",
	          TERM_MATMUL_INPUTS);
	per_token(c, count, attention_bytes(c),
	          SAVED "attention: q, k, v, output, logsumexp", TERM_ATTENTION);
	if (scores)
		per_token(c, count, square, SAVED "softmax and dropout: B·H·S² scores",
		          TERM_SCORES);
	per_token(c, count - sparse_of(c, count), mlp_bytes(c),
	          SAVED "the activation function and the last matmul",
	          TERM_FEED_FORWARD);
	per_token(c, sparse_of(c, count), expert_bytes(c),
	          SAVED "the experts of each token, and what is beside them",
	          TERM_EXPERTS);
	per_token(c, count, dropouts(c) * s->hidden,
	          SAVED "dropouts: a byte an element", TERM_DROPOUT);
}

/* The same of a target's tokens, where they are others than the source's; room is its training. */
static struct context of_target(const struct context *c, struct training *room)
{
	struct context target = *c;

	*room = *c->training;
	target.training = room;
	if (c->shape->decoder_layers && room->target) {
		room->seq = room->target;
		target.tokens = product(&target, room->batch, room->seq);
	}
	return target;
}

/* What is kept outside the layers, the loss aside. */
static void print_outside(struct context *c)
{
	const struct shape *s = c->shape;
	struct formula_term *term;

	per_token(c, 1, s->vocab ? 16 : 0, SAVED "the embedding and the loss: int64",
	          TERM_IDS);
	if (c->training->dropout && shape_drops(s, PLACE_EMBEDDING))
		per_token(c, 1, s->hidden, SAVED "dropout: a byte an element",
		          TERM_EMBEDDING_DROPOUT);
	if (s->embedding_norm)
		per_token(c, 1, norm_bytes(c), SAVED "the norm", TERM_EMBEDDING_NORM);
	if (s->final_norm)
		per_token(c, 1, norm_bytes(c), SAVED "the norm", TERM_FINAL_NORM);
	if (shape_has_words(s))
		per_token(c, 1, c->wide * s->hidden, SAVED "the head", TERM_HEAD_INPUT);
	if (s->norm == NORM_RMS_FP32) {
		term = formula_known_term(c->formula, FORMULA_ACTIVATION,
		                          4 * s->hidden * (2 * s->layers + 1),
		                          SAVED "Gemma's norms: 1 + weight, in fp32",
		                          TERM_NORM_WEIGHTS);
		formula_text(term, "norms × 4 B × D", "%s × 4 B × %s",
		             number(2 * s->layers + 1).s, number(s->hidden).s);
	}
	if (!s->rotary)
		return;
	term = formula_known_term(
	        c->formula, FORMULA_ACTIVATION,
	        product(c, product(c, c->training->seq, 2 * s->rotary), c->stream),
	        SAVED "rotary embedding: one table for all layers", TERM_ROTARY);
	formula_text(term, "2 × S × rotated × bytes", "2 × %s × %s × %s B",
	             number(c->training->seq).s, number(s->rotary).s,
	             number(c->stream).s);
}

static void print_loss(struct context *whole)
{
	const struct shape *s = whole->shape;
	struct training room;
	struct context target = of_target(whole, &room), *c = &target;
	struct formula_term *term;

	if (!shape_has_words(s))
		return;
	per_token(c, 1, c->wide * s->vocab, "the model's output stays alive: B·S·V",
	          TERM_LOGITS);
	per_token(c, 1, 4 * s->vocab, SAVED "log_softmax, in fp32", TERM_LOG_SOFTMAX);
	term = per_token(c, 1, 8 * s->vocab,
	                 "the backward of log_softmax: its gradient in and out, fp32",
	                 TERM_LOSS_BACKWARD);
	if (term)
		term->temporary = true;
}

/* With checkpoints the peak is either in the loss, or where a segment was recomputed
 * while only the logits were left of the loss: the larger of the two. */
static void torch_checkpointed(struct context *c)
{
	const struct shape *s = c->shape;
	int64_t kept, together, segment, loss, a_token;
	int from;
	struct training room;
	struct context target = of_target(c, &room);

	checkpoint_segments(c, &kept, &together);
	checkpoint_inputs(c, kept, c->stream * s->hidden,
	                  "Chen et al. 2016: only the inputs of the segments are kept");
	a_token = formula_sum(
	        c->formula, layer_bytes(c),
	        product(c, product(c, s->heads, c->training->seq), score_bytes(c)));
	segment = product(c, a_token, together);
	loss = shape_has_words(s) ? 12 * s->vocab : 0;
	from = c->formula->count;
	if (loss > segment) {
		print_loss(c);
		return;
	}
	print_layers(c, together, true);
	mark_temporary(c, from);
	if (shape_has_words(s))
		per_token(&target, 1, c->wide * s->vocab,
		          "the model's output stays alive: B·S·V", TERM_LOGITS);
}

void saved_activations(struct context *c)
{
	bool selective = c->training->checkpoint == CHECKPOINT_SELECTIVE;
	struct training room;
	struct context target = of_target(c, &room);

	weight_copies(c);
	print_outside(c);
	if (c->training->checkpoint == CHECKPOINT_FULL ||
	    c->training->checkpoint == CHECKPOINT_SQRT) {
		torch_checkpointed(c);
		return;
	}
	print_layers(c, c->shape->layers, !selective);
	if (c->shape->decoder_layers)
		print_layers(&target, c->shape->decoder_layers, !selective);
	print_loss(c);
	if (selective) {
		int from = c->formula->count;
		per_token(c, 1,
		          product(c, product(c, c->shape->heads, c->training->seq),
		                  score_bytes(c)),
		          PAPER "section 5: one layer's scores, recomputed",
		          TERM_SCORES_AGAIN);
		mark_temporary(c, from);
	}
}
