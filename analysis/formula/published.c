/* published.c - estimates of the activations that others published, kept as published.
 * Called from: activation.c. */
#include "published.h"

#include "tokens.h"

#define PAPER    "Korthikanti et al. 2022, arXiv 2205.05198, "
#define NOTE_001 "note 001, section 4: 8 B S D + B H S^2 elements a layer"

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

void korthikanti_activations(struct context *c)
{
	const struct shape *s = c->shape;
	enum checkpoint checkpoint = c->training->checkpoint;
	int64_t kept, together;

	weight_copies(c);
	if (checkpoint == CHECKPOINT_FULL || checkpoint == CHECKPOINT_SQRT) {
		int from;
		checkpoint_segments(c, &kept, &together);
		checkpoint_inputs(c, kept, c->wide * s->hidden,
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
	if (shape_has_words(s))
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

void notes_activations(struct context *c)
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
		checkpoint_segments(c, &kept, &together);
		checkpoint_inputs(c, kept, c->wide * s->hidden,
		                  "note 001, section 5: the input of each segment");
		from = c->formula->count;
		notes_layers(c, together, true);
		mark_temporary(c, from);
	} else {
		notes_layers(c, s->layers, checkpoint != CHECKPOINT_SELECTIVE);
	}
	if (shape_has_words(s))
		per_token(c, 1, product(c, c->wide, s->vocab),
		          "note 001, section 4: B S V", TERM_LOGITS);
}

void rough_activations(struct context *c)
{
	const char *source = "note 000, step 4: B S D L elements, and 3 times that";
	int64_t bytes = c->wide * c->shape->hidden;
	per_token(c, c->shape->layers, bytes, source, TERM_ROUGH_FORWARD);
	if (!c->training->inference)
		per_token(c, c->shape->layers, 2 * bytes, source, TERM_ROUGH_BACKWARD);
}
