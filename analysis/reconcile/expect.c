/* expect.c - the formula's terms, taken apart into the tensors they count.
 *
 * A term is some pieces for each layer, or once. What a term holds beyond its pieces
 * stays one item of the term's name: the sum of the items is the formula's, always.
 * Called from: reconcile.c. */
#include "reconcile.h"

#include <stdlib.h>
#include <string.h>

#include "functions.h"
#include "heap.h"
#include "states.h"

struct piece {
	enum item_role role;
	const char *label;
	int64_t bytes;
	int64_t copies; /* in one layer */
};

enum { PIECES = 8 };

struct pieces {
	struct piece piece[PIECES];
	int count;
};

static void put(struct pieces *pieces, enum item_role role, const char *label,
                int64_t bytes, int64_t copies)
{
	if (bytes && copies && pieces->count < PIECES)
		pieces->piece[pieces->count++] =
		        (struct piece){role, label, bytes, copies};
}

/* The sizes that all pieces are made of, in bytes. */
struct sizes {
	const struct shape *shape;
	const struct training *training;
	int64_t tokens, wide, stream;
	int64_t inner, keys; /* elements of q, and of k or v, a token */
};

static void norm_pieces(const struct sizes *z, int64_t copies, struct pieces *to)
{
	int64_t hidden = z->tokens * z->shape->hidden;

	switch (z->shape->norm) {
	case NORM_LAYER:
	case NORM_WEIGHT:
	case NORM_ONE_PLUS:
		put(to, IN_STREAM, "inputs of norms", hidden * z->stream, copies);
		put(to, IN_STREAM, "means and deviations of norms", z->tokens * 4,
		    2 * copies);
		return;
	case NORM_RMS:
	case NORM_T5:
		put(to, IN_STREAM, "inputs of norms", hidden * z->stream, copies);
		put(to, IN_STREAM, "normalised values in fp32", hidden * 4, copies);
		put(to, IN_STREAM, "factors of norms", z->tokens * 4, copies);
		return;
	case NORM_RMS_FP32:
		put(to, IN_STREAM, "values of norms in fp32", hidden * 4, 2 * copies);
		put(to, IN_STREAM, "factors of norms", z->tokens * 4, copies);
		return;
	case NORM_RMS_WIDE:
	case NORM_CENTERED:
	case NORM_BARE:
	case NORM_NONE:
		return;
	}
}

static void attention_pieces(const struct sizes *z, struct pieces *to)
{
	int64_t q = z->tokens * z->inner * z->wide, k = z->tokens * z->keys * z->wide;

	if (z->training->attention == ATTENTION_MATH) {
		put(to, IN_ATTENTION, "q, k, v and output of attention", q, 4);
		return;
	}
	if (z->shape->fused)
		put(to, IN_ATTENTION, "q, k, v of attention, one tensor", q + 2 * k, 1);
	if (z->shape->fused && z->shape->rotary) {
		put(to, IN_ATTENTION, "q rotated, outputs of attention", q, 3);
		put(to, IN_ATTENTION, "k rotated", k, 1);
	} else if (z->shape->fused) {
		put(to, IN_ATTENTION, "outputs of attention", q, 1);
	} else {
		put(to, IN_ATTENTION, "q and outputs of attention", q, 2);
		put(to, IN_ATTENTION, "k, v of attention", k, 2);
	}
	put(to, IN_ATTENTION, "logsumexp of attention", z->tokens * 4 * z->shape->heads,
	    1);
}

static void score_pieces(const struct sizes *z, struct pieces *to)
{
	int64_t scores = z->tokens * z->training->seq * z->shape->heads;
	bool fp32 = z->shape->softmax_fp32 || z->training->autocast;

	put(to, IN_ATTENTION, "scores of attention", scores * z->wide,
	    z->training->dropout && z->shape->attention_dropout ? 2 : 1);
	if (fp32 && z->wide < 4)
		put(to, IN_ATTENTION, "scores of attention in fp32", scores * 4, 1);
	if (z->training->dropout && z->shape->attention_dropout)
		put(to, IN_ATTENTION, "dropout masks of attention", scores, 1);
}

static void forward_pieces(const struct sizes *z, struct pieces *to)
{
	/* autocast takes the pow of GPT-2's GELU, and what follows it, in fp32 */
	bool fp32 = z->shape->mlp == MLP_GELU_NEW && z->training->autocast;

	put(to, IN_FORWARD, "values inside the feed-forward part",
	    z->tokens * z->shape->ffn * z->wide, fp32 ? 2 : shape_keeps(z->shape));
	if (fp32)
		put(to, IN_FORWARD, "values inside the feed-forward part in fp32",
		    z->tokens * z->shape->ffn * 4, 3);
}

static int64_t matmul_inputs(const struct sizes *z)
{
	if (!z->training->autocast || z->shape->fused)
		return 2;
	return 3 + (z->shape->mlp == MLP_GATED ? 2 : 1);
}

/* What stands before and behind the layers: token ids, logits, the loss. */
static void end_pieces(const struct sizes *z, enum term_id term, struct pieces *to)
{
	int64_t words = z->tokens * z->shape->vocab;

	if (term == TERM_IDS)
		put(to, IN_IDS, "token and label ids", z->tokens * 8, 2);
	if (term == TERM_LOGITS)
		put(to, IN_LOSS, "logits", words * z->wide, 1);
	if (term == TERM_LOG_SOFTMAX)
		put(to, IN_LOSS, "log_softmax of the loss", words * 4, 1);
	if (term == TERM_LOSS_BACKWARD)
		put(to, IN_LOSS, "gradients in the loss", words * 4, 2);
}

/* The pieces of one layer of a term; none where it isn't taken apart. */
static void take_apart(const struct sizes *z, enum term_id term, struct pieces *to)
{
	int64_t hidden = z->tokens * z->shape->hidden;

	to->count = 0;
	switch ((int)term) {
	case TERM_NORMS:
		norm_pieces(z, z->shape->head_norm ? 0 : 2, to);
		return;
	case TERM_EMBEDDING_NORM:
	case TERM_FINAL_NORM:
		norm_pieces(z, 1, to);
		return;
	case TERM_MATMUL_INPUTS:
		put(to, IN_STREAM, "inputs of matmuls", hidden * z->wide,
		    matmul_inputs(z));
		return;
	case TERM_HEAD_INPUT:
		put(to, IN_STREAM, "inputs of matmuls", hidden * z->wide, 1);
		return;
	case TERM_ATTENTION:
		attention_pieces(z, to);
		return;
	case TERM_SCORES:
		score_pieces(z, to);
		return;
	case TERM_FEED_FORWARD:
		forward_pieces(z, to);
		return;
	case TERM_DROPOUT:
		put(to, IN_STREAM, "dropout masks", hidden, 2);
		return;
	case TERM_EMBEDDING_DROPOUT:
		put(to, IN_STREAM, "dropout masks", hidden, 1);
		return;
	case TERM_CHECKPOINTS:
		put(to, IN_STREAM, "inputs of checkpointed layers", hidden * z->stream,
		    1);
		return;
	case TERM_ROTARY:
		put(to, IN_STREAM, "rotary tables",
		    z->training->seq * z->shape->rotary * z->stream, 2);
		return;
	default:
		end_pieces(z, term, to);
	}
}

static enum row_id row_of(const struct formula_term *term)
{
	if (term->id == TERM_IDS)
		return ROW_INPUT;
	if (term->id == TERM_LOSS_BACKWARD)
		return ROW_TEMPORARY;
	return term->bucket == FORMULA_PARAMETER   ? ROW_PARAMETER
	       : term->bucket == FORMULA_GRADIENT  ? ROW_GRADIENT
	       : term->bucket == FORMULA_OPTIMIZER ? ROW_OPTIMIZER
	                                           : ROW_ACTIVATION;
}

static void expect(struct reconciled *r, enum row_id row, enum item_role role,
                   int64_t bytes, int64_t elements, int64_t count, const char *label)
{
	if (bytes && count)
		items_add(&r->expected, (struct item){.row = row,
		                                      .role = role,
		                                      .bytes = bytes,
		                                      .elements = elements,
		                                      .count = count,
		                                      .label = copy_text(label),
		                                      .kind = CAUSE_NEVER});
}

/* The memory-efficient attention lays the rows of its logsumexp out in steps of 32. */
static void pad_logsumexp(struct reconciled *r, const struct sizes *z,
                          const char *label)
{
	struct item *item = &r->expected.items[r->expected.count - 1];
	int64_t row = (z->training->seq + 31) / 32 * 32;

	if (item->bytes == z->tokens * 4 * z->shape->heads &&
	    !strcmp(item->label, label))
		item->padded = z->training->batch * z->shape->heads * row * 4;
}

static void expect_term(struct reconciled *r, const struct sizes *z,
                        const struct formula_term *term)
{
	enum row_id row = row_of(term);
	struct pieces pieces;
	int64_t layer = 0, layers;
	char label[80];

	take_apart(z, term->id, &pieces);
	for (int i = 0; i < pieces.count; i++)
		layer += pieces.piece[i].bytes * pieces.piece[i].copies;
	layers = layer ? term->bytes / layer : 0;
	for (int i = 0; i < pieces.count; i++)
		expect(r, row, pieces.piece[i].role, pieces.piece[i].bytes, 0,
		       layers * pieces.piece[i].copies, pieces.piece[i].label);
	if (pieces.count && term->id == TERM_ATTENTION)
		pad_logsumexp(r, z, pieces.piece[pieces.count - 1].label);
	snprintf(label, sizeof(label), "%s of the formula", term->name);
	expect(r, row, IN_NOTHING, term->bytes - layers * layer, 0, 1, label);
}

static void expect_states(struct reconciled *r, const struct weight *weight)
{
	const struct training *t = &r->recognised->training;
	const int64_t width[] = {[STATE_PLAIN] = dtype_bits(t->state) / 8,
	                         [STATE_SMALL] = 4,
	                         [STATE_BYTE] = 1,
	                         [STATE_SCALE] = 4};
	struct state_piece piece[STATE_PIECES];
	int count = states_of(t->optimizer, weight, piece);

	for (int i = 0; i < count; i++)
		expect(r, ROW_OPTIMIZER, IN_WEIGHT,
		       width[piece[i].kind] * piece[i].elements, piece[i].elements,
		       piece[i].copies,
		       piece[i].kind == STATE_SCALE ? "scales of the 8-bit states"
		                                    : "states of the optimizer");
}

static void expect_weight(struct reconciled *r, const struct weight *weight)
{
	const struct training *t = &r->recognised->training;
	int64_t size = weight_size(weight);
	int bits = weight->bits ? weight->bits : dtype_bits(t->parameter);

	expect(r, ROW_PARAMETER, IN_WEIGHT, size * bits / 8, size, weight->copies,
	       "parameters");
	if (t->autocast && r->recognised->model.known &&
	    weight_is_copied(&r->recognised->model, weight))
		expect(r, ROW_ACTIVATION, IN_COPY, 2 * size, size, weight->copies,
		       "autocast's copies of weights");
	if (weight->frozen)
		return;
	expect(r, ROW_GRADIENT, IN_WEIGHT, size * dtype_bits(t->gradient) / 8, size,
	       weight->copies, "gradients");
	if (t->master != DTYPE_NONE)
		expect(r, ROW_OPTIMIZER, IN_WEIGHT, size * dtype_bits(t->master) / 8,
		       size, weight->copies, "master weights");
	expect_states(r, weight);
}

void reconcile_expect(struct reconciled *r)
{
	const struct model *model = &r->recognised->model;
	const struct training *t = &r->recognised->training;
	struct sizes z = {.shape = &model->shape,
	                  .training = t,
	                  .tokens = t->batch * t->seq,
	                  .wide = dtype_bits(t->activation) / 8,
	                  .stream = dtype_bits(t->residual) / 8,
	                  .inner = model->shape.heads * model->shape.head_dim,
	                  .keys = model->shape.kv_heads * model->shape.head_dim};

	/* The formula speaks for one device: where the model is. */
	if (r->device->id != r->recognised->device->id &&
	    !r->rows[ROW_PARAMETER].measured)
		return;
	for (size_t i = 0; i < model->count; i++)
		expect_weight(r, &model->weights[i]);
	for (int i = 0; i < r->formula.count; i++) {
		const struct formula_term *term = &r->formula.terms[i];
		if (term->bucket > FORMULA_ACTIVATION)
			continue;
		r->rows[row_of(term)].predicted += term->bytes;
		if (term->bucket == FORMULA_ACTIVATION &&
		    term->id != TERM_WEIGHT_COPIES)
			expect_term(r, &z, term);
	}
	items_merge(&r->expected);
}
