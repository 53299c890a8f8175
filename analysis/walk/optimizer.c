/* optimizer.c - the steps of PyTorch's optimizers, of bitsandbytes' AdamW8bit and of Lion as its
 * paper writes it.
 * Source: torch/optim/ of PyTorch 2.11; bitsandbytes/optim/optimizer.py, 0.50; Chen et al. 2023,
 * Algorithm 2.
 * Called from: known.c, walk.c. */
#include "optimizer.h"

#include <stdlib.h>

#include "heap.h"

bool optimizer_known(const struct training *r)
{
	if (r->optimizer == OPTIMIZER_COUNT)
		return false;
	return optimizer_has_ways(r->optimizer) ||
	       (!r->zero && r->implementation == IMPLEMENTATION_FOREACH);
}

/* A step with its weights: all of them, or those that another optimizer leaves. */
struct step {
	struct transformer *m;
	struct tape *tape;
	int state, weight; /* bytes of an element of a state, of a gradient */
	bool first;
};

static void keep(const struct step *s, int64_t elements, int width)
{
	if (s->first)
		tape_make(s->tape, elements * width, TAPE_STATE);
}

static tensor_id temporary(const struct step *s, int64_t elements, int width)
{
	return tape_make(s->tape, elements * width, TAPE_TEMPORARY);
}

/* What a Python variable named goes when it is given another value. */
static void assign(const struct step *s, tensor_id *name, tensor_id value)
{
	tape_let(s->tape, *name);
	*name = value;
}

static bool is_matrix(const struct matrix *w)
{
	return w->columns > 1 || w->stacked;
}

/* Muon takes matrices inside the layers, and another optimizer the rest. */
static bool is_muons(const struct matrix *w)
{
	return is_matrix(w) && !w->table && !w->stacked;
}

/* _multi_tensor_adam(): the roots of all second moments at once. */
static void adam_foreach(const struct step *s, bool rest_of_muon)
{
	struct transformer *m = s->m;
	tensor_id *roots = allocate((m->count + 1) * sizeof(*roots));

	for (size_t i = 0; i < m->count; i++) {
		roots[i] = NO_TENSOR;
		if (!rest_of_muon || !is_muons(&m->matrices[i]))
			roots[i] = temporary(s, m->sizes[i], s->state);
	}
	for (size_t i = m->count; i-- > 0;) /* a list lets go of its last first */
		tape_let(s->tape, roots[i]);
	free(roots);
}

/* _single_tensor_adam(): denom = (exp_avg_sq.sqrt() / bias_correction2_sqrt).add_(eps) */
static void adam_for_loop(const struct step *s)
{
	tensor_id denominator = NO_TENSOR;

	for (size_t i = 0; i < s->m->count; i++) {
		tensor_id root = temporary(s, s->m->sizes[i], s->state);
		tensor_id quotient = temporary(s, s->m->sizes[i], s->state);
		tape_let(s->tape, root);
		assign(s, &denominator, quotient);
	}
	tape_let(s->tape, denominator);
}

static void adam(const struct step *s)
{
	enum implementation by = s->m->training->implementation;

	for (size_t i = 0; i < s->m->count; i++) {
		if (by == IMPLEMENTATION_FUSED) /* the count of steps, on the device */
			keep(s, 1, 4);
		keep(s, s->m->sizes[i], s->state);
		keep(s, s->m->sizes[i], s->state);
	}
	if (by == IMPLEMENTATION_FOREACH)
		adam_foreach(s, false);
	else if (by == IMPLEMENTATION_FOR_LOOP)
		adam_for_loop(s);
}

static void momentum(const struct step *s)
{
	for (size_t i = 0; i < s->m->count; i++)
		keep(s, s->m->sizes[i], s->state);
}

/* _single_tensor_adafactor(): an estimate for every element of a weight becomes its update. */
static void adafactor(const struct step *s)
{
	tensor_id update = NO_TENSOR, squared = NO_TENSOR;

	for (size_t i = 0; i < s->m->count; i++) {
		const struct matrix *w = &s->m->matrices[i];
		int64_t stacked = w->stacked ? w->stacked : 1;
		keep(s, stacked * (is_matrix(w) ? w->rows : w->rows * w->columns),
		     s->state);
		if (is_matrix(w))
			keep(s, stacked * w->columns, s->state);
	}
	for (size_t i = 0; i < s->m->count; i++) {
		const struct matrix *w = &s->m->matrices[i];
		int64_t columns = w->columns * (w->stacked ? w->stacked : 1);
		if (is_matrix(w))
			tape_let(s->tape,
			         temporary(s,
			                   ops_sum_buffer(&s->m->ops, w->rows, columns),
			                   1));
		else
			assign(s, &squared, temporary(s, s->m->sizes[i], s->state));
		assign(s, &update, temporary(s, s->m->sizes[i], s->state));
	}
	tape_let(s->tape, update);
	tape_let(s->tape, squared);
}

/* _zeropower_via_newtonschulz(), five rounds in bf16; the result is held. */
static tensor_id newton_schulz(const struct step *s, const struct matrix *w,
                               tensor_id of)
{
	enum { ROUNDS = 5, HALF = 2 };
	int64_t size = w->rows * w->columns,
	        side = w->rows < w->columns ? w->rows : w->columns;
	tensor_id x = s->weight == HALF ? tape_hold(s->tape, of)
	                                : temporary(s, size, HALF),
	          gram = NO_TENSOR, update = NO_TENSOR;

	for (int round = 0; round < ROUNDS; round++) {
		assign(s, &gram, temporary(s, side * side, HALF));
		assign(s, &update, temporary(s, side * side, HALF));
		assign(s, &x, temporary(s, size, HALF));
	}
	tape_let(s->tape, gram);
	tape_let(s->tape, update);
	return x;
}

/* _single_tensor_muon(), and AdamW for what is no matrix of a layer. */
static void muon(const struct step *s)
{
	struct transformer *m = s->m;
	tensor_id update = NO_TENSOR;

	for (size_t i = 0; i < m->count; i++)
		if (is_muons(&m->matrices[i]))
			keep(s, m->sizes[i], s->state);
	for (size_t i = 0; i < m->count; i++) {
		tensor_id result;
		if (!is_muons(&m->matrices[i]))
			continue;
		assign(s, &update, temporary(s, m->sizes[i], s->weight));
		result = newton_schulz(s, &m->matrices[i], update);
		assign(s, &update, result);
	}
	tape_let(s->tape, update);
	for (size_t i = 0; i < m->count; i++)
		for (int k = 0; k < 2 && !is_muons(&m->matrices[i]); k++)
			keep(s, m->sizes[i], s->state);
	adam_foreach(s, true);
}

static void lion(const struct step *s)
{
	for (size_t i = 0; i < s->m->count; i++) {
		keep(s, s->m->sizes[i], s->state);
		tape_let(s->tape, temporary(s, s->m->sizes[i], s->state));
	}
}

/* States of a byte and a scale for 256 of them; small weights have theirs in fp32. Two tables of
 * what the bytes mean. */
static void adam_in_eight_bits(const struct step *s)
{
	enum { SMALLEST = 4096, BLOCK = 256, TABLE = 256, WIDE = 4 };

	for (int k = 0; k < 2; k++)
		keep(s, TABLE, WIDE);
	for (size_t i = 0; i < s->m->count; i++)
		for (int k = 0; k < 2; k++) {
			int64_t size = s->m->sizes[i];
			keep(s, size, size < SMALLEST ? WIDE : 1);
			if (size >= SMALLEST)
				keep(s, (size + BLOCK - 1) / BLOCK, WIDE);
		}
}

/* clip_grad_norm_(): a norm of each gradient, one of all; the gradients are scaled in place. */
static void clip(const struct step *s)
{
	struct transformer *m = s->m;
	tensor_id *norms = allocate((m->count + 1) * sizeof(*norms));

	for (size_t i = 0; i < m->count; i++)
		norms[i] = temporary(s, 1, s->weight);
	tape_let(s->tape, temporary(s, (int64_t)m->count, s->weight));
	for (size_t i = 0; i < m->count; i++)
		tape_let(s->tape, norms[i]);
	free(norms);
}

void optimizer_walk(struct transformer *m, bool first)
{
	struct step s = {.m = m,
	                 .tape = m->ops.tape,
	                 .state = dtype_bytes(m->training->state),
	                 .weight = dtype_bytes(m->training->lora_rank
	                                               ? m->training->adapter
	                                               : m->training->gradient),
	                 .first = first};

	if (m->training->clip) {
		tape_phase(s.tape, TAPE_CLIP);
		clip(&s);
	}
	tape_phase(s.tape, TAPE_OPTIMIZER);
	switch (m->training->optimizer) {
	case OPTIMIZER_SGD_MOMENTUM:
		momentum(&s);
		return;
	case OPTIMIZER_ADAM:
	case OPTIMIZER_ADAMW:
		adam(&s);
		return;
	case OPTIMIZER_ADAFACTOR:
		adafactor(&s);
		return;
	case OPTIMIZER_MUON:
		muon(&s);
		return;
	case OPTIMIZER_LION:
		lion(&s);
		return;
	case OPTIMIZER_ADAM8BIT:
		adam_in_eight_bits(&s);
		return;
	case OPTIMIZER_SGD:
	case OPTIMIZER_COUNT:
		return;
	}
}
