/* encoder.c - BERT and its kind as Hugging Face's transformers 5 runs them: a norm behind each sum,
 * and no mask where nothing is padded.
 * Source: models/NAME/modeling_NAME.py, transformers 5.23, of bert, roberta, distilbert, electra,
 * albert and deberta_v2.
 * Called from: walk.c. */
#include <stdlib.h>

#include "heap.h"
#include "transformer.h"

struct one_layer {
	struct transformer *model;
	const struct layer_weights *weights;
};

/* ---- what it reads ----------------------------------------------------------------------- */

/* Rows of a table by numbers of which so many are stored. */
static struct ten looked_up(struct transformer *m, struct ten table, int64_t stored,
                            int64_t count)
{
	struct ops *o = &m->ops;
	struct ten numbers = ops_make(o, stored, 8), result;

	numbers.count = count;
	result = ops_embedding(o, table, numbers, shape_embedding(m->shape));
	ops_let(o, &numbers);
	return result;
}

static struct ten summed(struct ops *o, struct ten x, struct ten more)
{
	struct ten sum = ops_add(o, x, more);

	ops_let(o, &x);
	return sum;
}

/* Words, types and positions; RoBERTa's positions are counted for each sample. rows: what was read
 * of each table, which the embedding's variables name until it returns. */
static struct ten table_rows(struct transformer *m, struct ten rows[3])
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	bool each = s->family == FAMILY_ROBERTA;
	int64_t stored = each ? m->tokens : m->seq;
	struct ten words = transformer_words(m);
	struct ten types = none, positions = none, x = ops_hold(o, words);

	if (s->types) {
		types = looked_up(m, m->types,
		                  s->family == FAMILY_DEBERTA ? m->tokens : stored,
		                  m->tokens);
		x = summed(o, x, types);
	}
	if (s->positions) {
		positions = looked_up(m, m->positions, stored, stored);
		x = summed(o, x, positions);
	}
	rows[0] = words;
	rows[1] = s->family == FAMILY_ROBERTA ? positions : types;
	rows[2] = s->family == FAMILY_ROBERTA ? types : positions;
	return x;
}

static struct ten embedded(struct transformer *m)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	bool narrow = s->projection == PROJECT_AFTER_NORM;
	struct ten rows[3], x = table_rows(m, rows), y;

	if (s->projection == PROJECT_BEFORE_NORM) {
		y = ops_linear(o, x, m->projection, none, shape_embedding(s),
		               s->hidden);
		ops_let(o, &x);
		x = y;
	}
	y = transformer_norm(m, x, &m->embedding_norm,
	                     narrow ? shape_embedding(s) : s->hidden);
	ops_let(o, &x);
	if (s->family == FAMILY_DEBERTA) { /* times the mask of padding */
		struct ten mask = ops_make(o, m->tokens, y.width);
		x = ops_mul(o, y, mask);
		ops_let(o, &mask);
		ops_let(o, &y);
		y = x;
	}
	x = ops_dropout(o, y, transformer_drops(m));
	ops_let(o, &y);
	for (int i = 0; i < 3; i++)
		ops_let(o, &rows[i]);
	if (!narrow)
		return x;
	y = ops_linear(o, x, m->projection, m->projection_bias, shape_embedding(s),
	               s->hidden);
	ops_let(o, &x);
	return y;
}

/* ---- a layer ----------------------------------------------------------------------------- */

/* The norm of x and what a branch gave, which is let go of. */
static struct ten joined(struct transformer *m, struct ten x, struct ten branch,
                         const struct norm_weights *norm, bool drops)
{
	struct ops *o = &m->ops;
	struct ten kept = ops_dropout(o, branch, drops && transformer_drops(m));
	struct ten sum, result;

	ops_let(o, &branch);
	sum = ops_add(o, kept, x);
	result = transformer_norm(m, sum, norm, m->shape->hidden);
	ops_let(o, &m->named);
	ops_let(o, &sum);
	ops_let(o, &kept);
	return result;
}

static tensor_id run_layer(struct tape *tape, void *context, tensor_id input)
{
	struct one_layer *layer = context;
	const struct layer_weights *w = layer->weights;
	struct transformer *m = layer->model;
	enum family family = m->shape->family;
	int64_t count = m->tokens * m->shape->hidden;
	struct ten x = {input, count, (int)(tape_bytes(tape, input) / count)};
	struct ten weights = none, a, result;

	a = family == FAMILY_DEBERTA ? deberta_attention(m, w, x)
	                             : transformer_attention(m, w, x, &weights);
	a = joined(m, x, a, &w->norm[0], family != FAMILY_DISTILBERT);
	result = joined(m, a, transformer_feed_forward(m, w, a), &w->norm[1],
	                family != FAMILY_ALBERT);
	ops_let(&m->ops, &a);
	ops_let(&m->ops, &weights);
	return result.v;
}

/* All layers. DeBERTa's encoder keeps what each of them gave until the last one has run. */
static struct ten run_layers(struct transformer *m, struct ten x,
                             struct one_layer *list)
{
	struct ops *o = &m->ops;
	int64_t together = m->layer_count / shape_own_layers(m->shape);
	bool again = m->training->checkpoint == CHECKPOINT_FULL,
	     keeps = m->shape->family == FAMILY_DEBERTA;
	struct ten *kept = allocate((size_t)(m->layer_count + 1) * sizeof(*kept));

	for (int64_t i = 0; i < m->layer_count; i++) {
		struct ten next = x;
		list[i] = (struct one_layer){m, &m->layers[i / together]};
		next.v = again ? tape_checkpoint(o->tape, run_layer, &list[i], x.v)
		               : run_layer(o->tape, &list[i], x.v);
		next.width = (int)(tape_bytes(o->tape, next.v) / next.count);
		kept[i] = x;
		if (!keeps)
			ops_let(o, &kept[i]);
		x = next;
	}
	for (int64_t i = 0; keeps && i < m->layer_count; i++)
		ops_let(o, &kept[i]);
	free(kept);
	return x;
}

tensor_id encoder_forward(struct transformer *m)
{
	struct ops *o = &m->ops;
	struct ten x = embedded(m), begun = ops_hold(o, x),
	           loss; /* a variable of the model's */
	struct one_layer *list = allocate((size_t)(m->layer_count + 1) * sizeof(*list));
	bool deberta = m->shape->family == FAMILY_DEBERTA;

	m->mask = m->places = m->far = none;
	if (deberta)
		deberta_begins(m);
	x = run_layers(m, x, list);
	ops_let(o, &begun);
	if (deberta && m->training->checkpoint != CHECKPOINT_FULL)
		deberta_ends(m); /* else the layers need it once more */
	loss = heads_loss(m, x);
	ops_let(o, &x);
	tape_autocast_ends(o->tape);
	free(m->contexts);
	m->contexts = list; /* the backward runs them again */
	return loss.v;
}
