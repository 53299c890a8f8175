/* staged.c - the activations of an image model of stages: what the modules of its list keep.
 * Called from: activation.c. */
#include "staged.h"

#include <stdlib.h>

#include "stages.h"
#include "tokens.h"

#define SAVED "PyTorch autograd: tensors saved by "

static const struct {
	enum term_id id;
	const char *source;
	unsigned kinds;
} kept[] = {
        {TERM_CONVOLUTION_INPUTS, SAVED "the convolutions", 1u << UNIT_CONVOLUTION},
        {TERM_NORMS, SAVED "the norms", 1u << UNIT_BATCH_NORM | 1u << UNIT_LAYER_NORM},
        {TERM_MATMUL_INPUTS, SAVED "the matmuls", 1u << UNIT_LINEAR},
        {TERM_FUNCTIONS, SAVED "relu, gelu and the scales",
         1u << UNIT_RELU | 1u << UNIT_GELU | 1u << UNIT_SCALE},
        {TERM_ATTENTION, SAVED "attention in windows: input, q, k, v, output",
         1u << UNIT_WINDOWS},
        {TERM_POOLING, SAVED "max_pool2d: its result, and indices of 8 bytes",
         1u << UNIT_MAX_POOL},
};

static void of_sample(struct context *c, int64_t bytes, const char *source,
                      enum term_id id)
{
	struct formula_term *term = per_token(c, 1, bytes, source, id);

	if (term)
		formula_text(term, "B × bytes of a sample", "%s × %s B",
		             number(c->tokens).s, number(bytes).s);
}

void units_activations(struct context *c)
{
	const struct training *t = c->training;
	struct unit_widths widths = {
	        .wide = c->wide, .stream = c->stream, .casts = t->autocast ? 3 : 1};
	int64_t widest = 0, sums[sizeof(kept) / sizeof(*kept)] = {0};
	struct units units;
	int from = c->formula->count;

	if (t->attention ==
	    ATTENTION_MATH) /* a softmax in fp32, and what is left in 16 bits */
		widths.score = c->wide < 4 ? 4 + c->wide : 4;
	if (widths.score && t->dropout && c->shape->attention_dropout)
		widths.score += c->wide + 1;
	units_of(c->shape, &units);
	weight_copies(c);
	for (size_t i = 0; i < units.count; i++) {
		const struct unit *unit = &units.list[i];
		int64_t here =
		        c->wide * (unit->in * unit->read + unit->out * unit->places);
		widest = here > widest ? here : widest;
		for (size_t k = 0; k < sizeof(kept) / sizeof(*kept); k++)
			if (kept[k].kinds >> unit->kind & 1)
				sums[k] = formula_sum(c->formula, sums[k],
				                      unit_saves(unit, &widths));
	}
	free(units.list);
	if (c->training->inference) {
		of_sample(c, widest, "the widest module; nothing is saved",
		          TERM_WORKING_SET);
		mark_temporary(c, from);
		return;
	}
	for (size_t k = 0; k < sizeof(kept) / sizeof(*kept); k++)
		of_sample(c, sums[k], kept[k].source, kept[k].id);
}
