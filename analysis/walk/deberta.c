/* deberta.c - DeBERTa's attention on a tape: scores of content, to which those of relative positions
 * are added, gathered from products with a table of them.
 * Source: models/deberta_v2/modeling_deberta_v2.py, transformers 5.23.
 * Called from: encoder.c, transformer.c. */
#include "transformer.h"

/* transpose_for_scores(): the heads one after the other, laid out anew. */
static struct ten heads_of(struct transformer *m, struct ten x, struct ten weight,
                           struct ten bias)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	struct ten flat =
	        ops_linear(o, x, weight, bias, s->hidden, s->heads * s->head_dim);
	struct ten apart = ops_copy(o, flat);

	ops_let(o, &flat);
	return apart;
}

/* Once for each sample. */
static struct ten repeated(struct transformer *m, struct ten x)
{
	struct op op = {.in = {x.v},
	                .give = {GIVE_NEW}, /* a sum over the samples */
	                .grad = {x.count * x.width},
	                .inputs = 1};
	int64_t count = x.count * m->batch;

	return (struct ten){tape_result(m->ops.tape, &op, count * x.width), count,
	                    x.width};
}

/* The table's rows as heads: what queries or keys are multiplied with. */
static struct ten table_of(struct transformer *m, struct ten table, struct ten weight,
                           struct ten bias)
{
	struct ten once = heads_of(m, table, weight, bias), result = repeated(m, once);

	ops_let(&m->ops, &once);
	return result;
}

/* For each pair of tokens the score of its distance; gather() saves what it gathers from. */
static struct ten gathered(struct transformer *m, struct ten x, struct ten table,
                           struct ten places)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	int64_t rows = m->tokens * s->heads, count = rows * m->seq;
	struct ten all = ops_bmm(o, x, table, rows * s->relative.rows), picked, scaled;
	struct op op = {.in = {all.v},
	                .give = {GIVE_NEW},
	                .grad = {all.count * all.width},
	                .saves = {all.v, places.v},
	                .inputs = 1,
	                .save_count = 2};

	picked = (struct ten){tape_result(o->tape, &op, count * all.width), count,
	                      all.width};
	ops_let(o, &all);
	scaled = ops_unary(o, picked, SAVE_NONE); /* by the scale */
	ops_let(o, &picked);
	return scaled;
}

/* 0 + score, and the other added in place. */
static struct ten added(struct ops *o, struct ten score, struct ten more)
{
	struct op op = {
	        .in = {score.v, more.v}, .give = {GIVE_SAME, GIVE_SAME}, .inputs = 2};
	struct ten sum;

	if (score.v == NO_TENSOR) {
		sum = ops_copy(o, more);
	} else {
		sum = (struct ten){tape_view(o->tape, &op, score.v), score.count,
		                   score.width};
		ops_let(o, &score);
	}
	ops_let(o, &more);
	return sum;
}

/* disentangled_attention_bias(): its variables stay until it returns. */
static struct ten position_scores(struct transformer *m, const struct layer_weights *w,
                                  struct ten q, struct ten k)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	struct ten far = ops_dropout(o, m->far, transformer_drops(m));
	struct ten far_k = none, far_q = none, score = none, to, from;

	if (s->relative.shared) {
		far_q = table_of(m, far, w->q, w->q_bias);
		far_k = table_of(m, far, w->k, w->k_bias);
	} else {
		if (s->relative.to_position)
			far_k = table_of(m, far, w->far_k, w->far_k_bias);
		if (s->relative.from_position)
			far_q = table_of(m, far, w->far_q, w->far_q_bias);
	}
	to = from = none;
	if (s->relative.to_position) {
		to = ops_make(o, m->seq * m->seq, 8);
		score = added(o, score, gathered(m, q, far_k, to));
	}
	if (s->relative.from_position) {
		from = ops_make(o, m->seq * m->seq, 8);
		score = added(o, score, gathered(m, k, far_q, from));
	}
	ops_let(o, &to);
	ops_let(o, &from);
	ops_let(o, &far_k);
	ops_let(o, &far_q);
	ops_let(o, &far);
	return score;
}

/* Scores of padding are filled up; nothing is padded, but the mask is read all the same. */
static struct ten filled(struct transformer *m, struct ten scores)
{
	struct ops *o = &m->ops;
	struct ten mask = ops_make(o, m->tokens * m->seq, 1), other, result;
	struct op op = {.in = {scores.v},
	                .give = {GIVE_NEW},
	                .grad = {scores.count * scores.width},
	                .inputs = 1,
	                .save_count = 1};

	other = ops_make(o, m->tokens * m->seq, 1);
	op.saves[0] = other.v;
	result = (struct ten){tape_result(o->tape, &op, scores.count * scores.width),
	                      scores.count, scores.width};
	ops_let(o, &other);
	ops_let(o, &mask);
	return result;
}

static struct ten probabilities(struct transformer *m, struct ten scores)
{
	struct ops *o = &m->ops;
	struct ten soft = ops_softmax(o, scores, o->half ? 4 : scores.width), kept,
	           narrow;

	kept = ops_dropout(o, soft,
	                   m->shape->attention_dropout && m->training->dropout);
	ops_let(o, &soft);
	narrow = o->half ? ops_to(o, kept, o->half) : ops_hold(o, kept);
	ops_let(o, &kept);
	return narrow;
}

struct ten deberta_attention(struct transformer *m, const struct layer_weights *w,
                             struct ten x)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;
	struct ten q = heads_of(m, x, w->q, w->q_bias),
	           k = heads_of(m, x, w->k, w->k_bias),
	           v = heads_of(m, x, w->v, w->v_bias), scores, by_position = none, a,
	           b;

	a = ops_unary(o, k, SAVE_NONE); /* by the scale */
	scores = ops_bmm(o, q, a, m->tokens * s->heads * m->seq);
	ops_let(o, &a);
	if (s->relative.rows &&
	    (s->relative.to_position || s->relative.from_position)) {
		by_position = position_scores(m, w, q, k);
		a = ops_add(o, scores, by_position);
		ops_let(o, &scores);
		scores = a;
	}
	a = filled(m, scores);
	ops_let(o, &scores);
	scores = a;
	a = probabilities(m, scores);
	b = ops_bmm(o, a, v, q.count);
	ops_let(o, &a);
	a = ops_copy(o, b);
	ops_let(o, &b);
	ops_let(o, &scores);
	ops_let(o, &by_position);
	ops_let(o, &q);
	ops_let(o, &k);
	ops_let(o, &v);
	b = transformer_linear(m, w, LORA_O, a, w->o, w->o_bias, s->heads * s->head_dim,
	                       s->hidden);
	ops_let(o, &a);
	return b;
}

void deberta_begins(struct transformer *m)
{
	const struct shape *s = m->shape;
	struct ops *o = &m->ops;

	m->mask = ops_make(o, m->tokens * m->seq, 8);
	m->places = s->relative.rows ? ops_make(o, m->seq * m->seq, 8) : none;
	m->far = none;
	if (s->relative.norm)
		m->far = transformer_norm(m, m->relative, &m->relative_norm, s->hidden);
	else if (s->relative.rows)
		m->far = ops_hold(o, m->relative);
}

void deberta_ends(struct transformer *m)
{
	ops_let(&m->ops, &m->mask);
	ops_let(&m->ops, &m->places);
	ops_let(&m->ops, &m->far);
}
