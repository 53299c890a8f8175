/* vision.c - the patches of images, as the layers of ViT and CLIP read them.
 * Source: models/vit/modeling_vit.py and models/clip/modeling_clip.py, transformers 5.23. What a convolution's kernels work in is
 * the choice of a card's cuDNN, and left out.
 * Called from: transformer.c. */
#include "transformer.h"

/* A convolution whose windows do not overlap. It takes the images in the weight's width, under
 * autocast in 16 bits; they want no gradient. Its backward lays the result's gradient out anew. */
static struct ten patches_of(struct transformer *m)
{
	struct ops *o = &m->ops;
	int width = o->half ? o->half : m->wide;
	int64_t count = m->batch * (m->seq - 1) * m->shape->hidden;
	struct ten images = ops_to(o, m->pixels, width),
	           w = ops_cast_weight(o, m->embedding),
	           b = ops_cast_weight(o, m->embedding_bias), result;
	struct op op = {.in = {w.v, b.v},
	                .give = {GIVE_NEW, GIVE_NEW},
	                .grad = {w.count * width, b.count * width},
	                .saves = {images.v, w.v},
	                .inputs = b.v == NO_TENSOR ? 1 : 2,
	                .save_count = 2,
	                .after = {count * width}};

	result = (struct ten){tape_result(o->tape, &op, count * width), count, width};
	ops_let(o, &images);
	ops_let(o, &w);
	ops_let(o, &b);
	return result;
}

/* The first token, which is trained, and the patches, side by side. */
static struct ten joined(struct transformer *m, struct ten patches)
{
	struct ops *o = &m->ops;
	struct ten wide = ops_to(o, patches, m->wide);
	int64_t count = m->tokens * m->shape->hidden;
	struct op op = {.in = {m->first_token.v, wide.v},
	                .give = {GIVE_NEW, GIVE_SAME},
	                .grad = {m->first_token.count * m->wide},
	                .inputs = 2};
	struct ten result = {tape_result(o->tape, &op, count * m->wide), count,
	                     m->wide};

	ops_let(o, &wide);
	return result;
}

/* CLIP's: rows of a table of positions, and a norm. */
static struct ten normed(struct transformer *m, struct ten patches)
{
	struct ops *o = &m->ops;
	struct ten x = joined(m, patches), numbers = ops_make(o, 0, 8), rows, sum,
	           result;

	numbers.count = m->seq;
	rows = ops_embedding(o, m->positions, numbers, m->shape->hidden);
	ops_let(o, &numbers);
	sum = ops_add(o, x, rows);
	ops_let(o, &rows);
	ops_let(o, &x);
	ops_let(o, &patches);
	result = transformer_norm(m, sum, &m->embedding_norm, m->shape->hidden);
	ops_let(o, &sum);
	return result;
}

struct ten vision_embedded(struct transformer *m)
{
	struct ops *o = &m->ops;
	struct ten patches = patches_of(m), x, y;

	if (m->shape->family == FAMILY_CLIP)
		return normed(m, patches);
	x = joined(m, patches);
	ops_let(o, &patches);
	y = ops_add(o, x, m->positions);
	ops_let(o, &x);
	x = ops_dropout(o, y, transformer_drops(m));
	ops_let(o, &y);
	return x;
}
