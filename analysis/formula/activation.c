/* activation.c - the bucket that grows with the batch, by one of four formulas: what autograd
 * saves (saved.c), or one of the published estimates (published.c).
 * Called from: formula.c. */
#include "activation.h"

#include "published.h"
#include "saved.h"
#include "staged.h"
#include "tokens.h"

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

/* The activations of a transformer, or of one of its two towers. */
static void of_tower(struct context *c)
{
	const struct training *training = c->training;

	if (training->inference && training->activations != ACTIVATIONS_ROUGH)
		cache(c);
	if (training->activations == ACTIVATIONS_ROUGH)
		rough_activations(c);
	else if (training->activations == ACTIVATIONS_NOTES)
		notes_activations(c);
	else if (training->inference)
		inference(c);
	else if (training->activations == ACTIVATIONS_KORTHIKANTI)
		korthikanti_activations(c);
	else
		saved_activations(c);
}

/* The same of the tower that reads pictures; copies of weights were counted for all. */
static void of_pictures(const struct context *texts)
{
	struct context c = *texts;
	struct training training = *texts->training;
	struct model none = {.known = true};

	shape_of_pictures(texts->shape, &none.shape);
	training.seq = none.shape.positions;
	c.model = &none;
	c.shape = &none.shape;
	c.training = &training;
	c.tokens = formula_product(c.formula, training.batch, training.seq);
	of_tower(&c);
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
	if (c.shape->stages.count)
		c.tokens = training->batch;
	c.wide = dtype_bits(training->activation) / 8;
	c.stream = dtype_bits(training->residual) / 8;
	if (c.shape->stages.count) { /* the published estimates are of transformers */
		units_activations(&c);
		return;
	}
	of_tower(&c);
	if (c.shape->pictures.layers)
		of_pictures(&c);
}
