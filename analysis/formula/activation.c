/* activation.c - the bucket that grows with the batch, by four formulas.
 *
 * `torch` counts the tensors that autograd keeps from forward to backward, as the usual
 * implementations of the layers produce them (tests/plan/saved_tensors.py compares it
 * with what torch saves); the others are published estimates, kept as published.
 * All per-token counts here are small; only products with tokens can overflow. */
#include "activation.h"

#include <stdio.h>

#include "terms.h"

#define PAPER    "Korthikanti et al. 2022, arXiv 2205.05198, "
#define SAVED    "PyTorch autograd: tensors saved by "
#define NOTE_001 "note 001, section 4: 8 B S D + B H S^2 elements a layer"

struct context {
	const struct model *model;
	const struct shape *shape;
	const struct training *training;
	struct formula *formula;
	int64_t tokens; /* batch x seq */
	int64_t wide;   /* bytes of what a matmul gives */
	int64_t stream; /* bytes of the residual stream */
};

static int64_t product(struct context *c, int64_t a, int64_t b)
{
	return formula_product(c->formula, a, b);
}

/* count tokens times bytes each; nothing where there is nothing. */
static struct formula_term *per_token(struct context *c, int64_t count, int64_t bytes,
                                      const char *source, enum term_id id)
{
	struct formula_term *term;
	if (!bytes || !count)
		return NULL;
	term = formula_known_term(c->formula, FORMULA_ACTIVATION,
	                          product(c, product(c, c->tokens, count), bytes),
	                          source, id);
	if (count > 1)
		formula_text(term, "layers × B·S × bytes a token", "%s × %s × %s B",
		             number(count).s, number(c->tokens).s, number(bytes).s);
	else
		formula_text(term, "B·S × bytes a token", "%s × %s B",
		             number(c->tokens).s, number(bytes).s);
	return term;
}

/* Bytes a token that the norms of one layer keep, and the inputs of the matmuls that
 * follow them. An RMSNorm of the usual kind computes in fp32: it keeps its fp32 input,
 * the normalised values and one factor a token. */
static int64_t norm_bytes(const struct context *c)
{
	const struct shape *s = c->shape;
	if (s->norm == NORM_RMS)
		return (4 + c->stream) * s->hidden + 4;
	if (s->norm == NORM_RMS_FP32)
		return 8 * s->hidden + 4;
	if (s->norm == NORM_LAYER)
		return c->stream * s->hidden + 8; /* mean and 1/deviation */
	return 0;
}

static int64_t norms_bytes(const struct context *c)
{
	return 2 * norm_bytes(c) -
	       (c->shape->parallel ? c->stream * c->shape->hidden : 0);
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
	static const int kept[] = {
	        [MLP_GELU] = 2, [MLP_GELU_NEW] = 5, [MLP_RELU] = 1, [MLP_GATED] = 4};
	/* pow() runs in fp32 under CUDA's autocast, and what follows it */
	if (c->shape->mlp == MLP_GELU_NEW && c->training->autocast)
		return 16 * c->shape->ffn;
	return kept[c->shape->mlp] * c->wide * c->shape->ffn;
}

static bool keeps_dropout(const struct context *c)
{
	return c->training->dropout;
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
	if (keeps_dropout(c))
		bytes += c->wide + 1; /* what is left, and the mask */
	return bytes;
}

static int64_t attention_bytes(const struct context *c)
{
	const struct shape *s = c->shape;
	int64_t inner = s->heads * s->head_dim, keys = s->kv_heads * s->head_dim;
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
	bytes += attention_bytes(c) + mlp_bytes(c);
	return bytes + (keeps_dropout(c) ? 2 * s->hidden : 0);
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
	per_token(c, count, mlp_bytes(c),
	          SAVED "the activation function and the last matmul",
	          TERM_FEED_FORWARD);
	if (keeps_dropout(c))
		per_token(c, count, 2 * s->hidden,
		          SAVED "two dropouts: a byte an element", TERM_DROPOUT);
}

/* What is kept outside the layers, the loss aside. */
static void print_outside(struct context *c)
{
	const struct shape *s = c->shape;
	struct formula_term *term;

	per_token(c, 1, s->vocab ? 16 : 0, SAVED "the embedding and the loss: int64",
	          TERM_IDS);
	if (keeps_dropout(c))
		per_token(c, 1, s->hidden, SAVED "dropout: a byte an element",
		          TERM_EMBEDDING_DROPOUT);
	if (s->embedding_norm)
		per_token(c, 1, norm_bytes(c), SAVED "the norm", TERM_EMBEDDING_NORM);
	if (s->final_norm)
		per_token(c, 1, norm_bytes(c), SAVED "the norm", TERM_FINAL_NORM);
	if (s->head == HEAD_LM)
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

static void print_loss(struct context *c)
{
	const struct shape *s = c->shape;
	struct formula_term *term;

	if (s->head != HEAD_LM)
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

static void weight_copies(struct context *c)
{
	int64_t elements = 0;
	struct formula_term *term;

	if (!c->training->autocast || c->training->inference)
		return;
	for (size_t i = 0; i < c->model->count; i++) {
		const struct weight *w = &c->model->weights[i];
		if (weight_is_copied(c->model, w))
			elements += weight_elements(w);
	}
	term = formula_known_term(
	        c->formula, FORMULA_ACTIVATION, product(c, 2, elements),
	        "torch.autocast: a 16-bit copy of each matmul's weight, saved "
	        "for backward",
	        TERM_WEIGHT_COPIES);
	formula_text(term, "2 B × N of the matmuls", "2 B × %s", number(elements).s);
}

static int64_t root(int64_t n)
{
	int64_t r = 1;
	while (r * r < n)
		r++;
	return r;
}

/* Layers recomputed together, and inputs kept instead of everything else. */
static void segments(const struct context *c, int64_t *kept, int64_t *together)
{
	*kept = c->shape->layers;
	*together = 1;
	if (c->training->checkpoint == CHECKPOINT_SQRT) {
		*together = formula_blocks(c->shape->layers, root(c->shape->layers));
		*kept = formula_blocks(c->shape->layers, *together);
	}
}

static void print_checkpoints(struct context *c, int64_t kept, int64_t bytes,
                              const char *source)
{
	per_token(c, kept, bytes, source, TERM_CHECKPOINTS);
}

static void mark_temporary(struct context *c, int from)
{
	for (int i = from; i < c->formula->count; i++)
		c->formula->terms[i].temporary = true;
}

/* With checkpoints the peak is either in the loss, or where a segment was recomputed
 * while only the logits were left of the loss: the larger of the two. */
static void torch_checkpointed(struct context *c)
{
	const struct shape *s = c->shape;
	int64_t kept, together, segment, loss, a_token;
	int from;

	segments(c, &kept, &together);
	print_checkpoints(c, kept, c->stream * s->hidden,
	                  "Chen et al. 2016: only the inputs of the segments are kept");
	a_token = formula_sum(
	        c->formula, layer_bytes(c),
	        product(c, product(c, s->heads, c->training->seq), score_bytes(c)));
	segment = product(c, a_token, together);
	loss = s->head == HEAD_LM ? 12 * s->vocab : 0;
	from = c->formula->count;
	if (loss > segment) {
		print_loss(c);
		return;
	}
	print_layers(c, together, true);
	mark_temporary(c, from);
	if (s->head == HEAD_LM)
		per_token(c, 1, c->wide * s->vocab,
		          "the model's output stays alive: B·S·V", TERM_LOGITS);
}

static void torch_formula(struct context *c)
{
	bool selective = c->training->checkpoint == CHECKPOINT_SELECTIVE;

	weight_copies(c);
	print_outside(c);
	if (c->training->checkpoint == CHECKPOINT_FULL ||
	    c->training->checkpoint == CHECKPOINT_SQRT) {
		torch_checkpointed(c);
		return;
	}
	print_layers(c, c->shape->layers, !selective);
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

/* 34 = 16 values of two bytes and two masks of one; 5 a s/h = two of two and a mask. */
static void korthikanti_layers(struct context *c, int64_t count, bool scores)
{
	const struct shape *s = c->shape;
	int64_t square = product(c, s->heads, c->training->seq);

	per_token(c, count, (16 * c->wide + 2) * s->hidden,
	          PAPER "eq. (1): 34 sbh at two bytes", TERM_KORTHIKANTI_LAYERS);
	if (scores && c->training->attention == ATTENTION_MATH)
		per_token(c, count, product(c, 2 * c->wide + 1, square),
		          PAPER "eq. (1): 5 as^2b at two bytes",
		          TERM_KORTHIKANTI_SCORES);
}

static void korthikanti(struct context *c)
{
	const struct shape *s = c->shape;
	enum checkpoint checkpoint = c->training->checkpoint;
	int64_t kept, together;

	weight_copies(c);
	if (checkpoint == CHECKPOINT_FULL || checkpoint == CHECKPOINT_SQRT) {
		int from;
		segments(c, &kept, &together);
		print_checkpoints(c, kept, c->wide * s->hidden,
		                  PAPER "section 4: 2 sbh for each segment's input");
		from = c->formula->count;
		korthikanti_layers(c, together, true);
		mark_temporary(c, from);
	} else {
		korthikanti_layers(c, s->layers, checkpoint != CHECKPOINT_SELECTIVE);
	}
	per_token(c, 1, s->hidden, PAPER "section 4.3: mask of the embedding dropout",
	          TERM_EMBEDDING_DROPOUT);
	per_token(c, 1, 2 * c->wide * s->hidden,
	          PAPER "section 4.3: final norm and input of the head",
	          TERM_KORTHIKANTI_END);
	if (s->head == HEAD_LM)
		per_token(c, 1, 4 * s->vocab, PAPER "section 4.3: logits in fp32",
		          TERM_LOGITS);
}

static void notes_layers(struct context *c, int64_t count, bool scores)
{
	const struct shape *s = c->shape;
	per_token(c, count, 8 * c->wide * s->hidden, NOTE_001, TERM_NOTES_LAYERS);
	if (scores && c->training->attention == ATTENTION_MATH)
		per_token(c, count,
		          product(c, product(c, s->heads, c->training->seq), c->wide),
		          NOTE_001, TERM_NOTES_SCORES);
}

static void notes(struct context *c)
{
	const struct shape *s = c->shape;
	enum checkpoint checkpoint = c->training->checkpoint;
	int64_t kept, together;

	if (c->training->inference) {
		per_token(c, s->layers, c->wide * s->hidden,
		          "note 001, section 6: B S D (L + overhead)",
		          TERM_ACTIVATIONS);
		return;
	}
	per_token(c, 1, c->wide * s->hidden, "note 001, section 4: B S D",
	          TERM_EMBEDDING);
	if (checkpoint == CHECKPOINT_FULL || checkpoint == CHECKPOINT_SQRT) {
		int from;
		segments(c, &kept, &together);
		print_checkpoints(c, kept, c->wide * s->hidden,
		                  "note 001, section 5: the input of each segment");
		from = c->formula->count;
		notes_layers(c, together, true);
		mark_temporary(c, from);
	} else {
		notes_layers(c, s->layers, checkpoint != CHECKPOINT_SELECTIVE);
	}
	if (s->head == HEAD_LM)
		per_token(c, 1, product(c, c->wide, s->vocab),
		          "note 001, section 4: B S V", TERM_LOGITS);
}

static void rough(struct context *c)
{
	const char *source = "note 000, step 4: B S D L elements, and 3 times that";
	int64_t bytes = c->wide * c->shape->hidden;
	per_token(c, c->shape->layers, bytes, source, TERM_ROUGH_FORWARD);
	if (!c->training->inference)
		per_token(c, c->shape->layers, 2 * bytes, source, TERM_ROUGH_BACKWARD);
}

/* Weights are read, nothing is saved: one layer's tensors at a time, and the keys and
 * values of all. */
static void inference(struct context *c)
{
	const struct shape *s = c->shape;
	int64_t keys = s->kv_heads * s->head_dim;
	int64_t inner = s->heads * s->head_dim, scores = 0, attention;
	int64_t mlp = (s->mlp == MLP_GATED ? 3 : 2) * s->ffn;
	int from = c->formula->count;

	if (c->training->attention == ATTENTION_MATH)
		scores = product(c, 2 * s->heads, c->training->seq);
	attention = formula_sum(c->formula, 2 * inner + 2 * keys, scores);
	per_token(c, 1,
	          product(c, c->wide,
	                  formula_sum(c->formula, 2 * s->hidden,
	                              attention > mlp ? attention : mlp)),
	          "the widest point of one layer; nothing is saved", TERM_WORKING_SET);
	mark_temporary(c, from);
	if (s->head == HEAD_LM) {
		struct formula_term *term = formula_known_term(
		        c->formula, FORMULA_ACTIVATION,
		        product(c, product(c, c->training->batch, s->vocab),
		                c->wide + 4),
		        "generation needs the last token's logits alone", TERM_LOGITS);
		formula_text(term, "B × V × (bytes + 4)", "%s × %s × %s B",
		             number(c->training->batch).s, number(s->vocab).s,
		             number(c->wide + 4).s);
	}
}

static void cache(struct context *c)
{
	const struct shape *s = c->shape;
	if (s->head != HEAD_LM)
		return;
	per_token(c, s->layers, 2 * c->wide * s->kv_heads * s->head_dim,
	          "keys and values: 2 L B S H_kv d_head x bytes", TERM_CACHE);
}

static void given(const struct training *training, struct formula *formula)
{
	int64_t sample = training->sample_bytes;
	int bits = dtype_bits(training->activation);
	struct formula_term *term;

	if (sample < 0)
		sample = formula_bits(formula, training->sample_elements, bits);
	term = formula_known_term(formula, FORMULA_ACTIVATION,
	                          formula_product(formula, training->batch, sample),
	                          "given on the command line", TERM_ACTIVATIONS);
	formula_text(term, "B × bytes of a sample", "%s × %s B",
	             number(training->batch).s, number(sample).s);
}

void formula_activations(const struct model *model, const struct training *training,
                         struct formula *formula)
{
	struct context c = {.model = model,
	                    .shape = &model->shape,
	                    .training = training,
	                    .formula = formula};

	formula->activations_known = true;
	if (training->sample_bytes >= 0 || training->sample_elements >= 0) {
		given(training, formula);
		return;
	}
	if (!model->known) {
		formula->activations_known = false;
		return;
	}
	c.tokens = formula_product(formula, training->batch, training->seq);
	c.wide = dtype_bits(training->activation) / 8;
	c.stream = dtype_bits(training->residual) / 8;
	if (training->inference && training->activations != ACTIVATIONS_ROUGH)
		cache(&c);
	if (training->activations == ACTIVATIONS_ROUGH)
		rough(&c);
	else if (training->activations == ACTIVATIONS_NOTES)
		notes(&c);
	else if (training->inference)
		inference(&c);
	else if (training->activations == ACTIVATIONS_KORTHIKANTI)
		korthikanti(&c);
	else
		torch_formula(&c);
}
