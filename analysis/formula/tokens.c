/* tokens.c - what all formulas of the activations are made with. All
 * per-token counts are small; only products with tokens can
 * overflow.
 * Called from: formula/. */
#include "tokens.h"

struct formula_term *per_token(struct context *c, int64_t count, int64_t bytes,
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

void weight_copies(struct context *c)
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
	if (!elements)
		return;
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

void checkpoint_segments(const struct context *c, int64_t *kept, int64_t *together)
{
	*kept = shape_all_layers(c->shape);
	*together = 1;
	if (c->training->checkpoint == CHECKPOINT_SQRT) {
		*together = formula_blocks(c->shape->layers, root(c->shape->layers));
		*kept = formula_blocks(c->shape->layers, *together);
	}
}

void checkpoint_inputs(struct context *c, int64_t kept, int64_t bytes,
                       const char *source)
{
	per_token(c, kept, bytes, source, TERM_CHECKPOINTS);
}

void mark_temporary(struct context *c, int from)
{
	for (int i = from; i < c->formula->count; i++)
		c->formula->terms[i].temporary = true;
}
