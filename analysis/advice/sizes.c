/* sizes.c - the sample and the sequence dimension of the step that was refused.
 * Called from: lever_room.c, levers.c. */
#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "scene.h"

bool shape_has(const struct shape *shape, int64_t batch)
{
	if (!shape->count)
		return false;
	if (shape->of[0] % batch == 0)
		return true;
	for (int k = 1; k < shape->count; k++)
		if (shape->of[k] == batch)
			return true;
	return false;
}

/* Is it a dimension of samples: most bytes of this step's forward have it, and of many it is the
 * first? Returns the share of bytes that have it as it is, and not a multiple of it; less than 0: it is
 * none. */
static double is_batch(const struct scene *scene, int64_t batch)
{
	const struct script *script = &scene->script;
	double has = 0, first = 0, all = 0, itself = 0;

	for (size_t i = 0; i < script->count; i++) {
		const struct piece *piece = &script->pieces[i];
		const struct shape *shape = scene_shape(scene, piece);
		if (piece->taken < scene->from || piece->taken >= scene->rest.first ||
		    !piece_scales(piece) || piece->phase == PHASE_BACKWARD ||
		    !shape->count || scene_weight_like(scene, piece))
			continue;
		all += (double)piece->bytes;
		if (shape_has(shape, batch))
			has += (double)piece->bytes;
		if (shape->of[0] % batch == 0)
			first += (double)piece->bytes;
		for (int k = 0; k < shape->count; k++)
			if (shape->of[k] == batch) {
				itself += (double)piece->bytes;
				break;
			}
	}
	return has >= 0.7 * all && first >= 0.4 * all && all > 0 ? itself / all : -1;
}

/* What is made of weights alone has their shapes, in the forward too: by modules a norm of them, a
 * sample, one in fewer bits; by the program a penalty on them, copies. */
static void made_of_weights(struct scene *scene, bool by_modules)
{
	for (size_t i = 0; i < scene->places->site_count; i++) {
		const struct site *site = &scene->places->sites[i];
		bool made = by_modules
		                    ? site->phase == PHASE_FORWARD && site->module
		                    : !site->module && (site->phase == PHASE_FORWARD ||
		                                        site->phase == PHASE_DATA);
		if (made && scene_shape_of_weight(scene, site))
			scene->weight_like[i] = true;
	}
}

/* Is it a dimension of a parameter, in a step in which no module has computed anything? Without an
 * input to compare with, what is made of weights alone cannot be told from what is made of samples. */
static bool weight_has(const struct scene *scene, int64_t number)
{
	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		const struct site *site = scene_site(scene, piece);
		if (piece->taken >= scene->from && piece->taken < scene->rest.first &&
		    (piece->phase == PHASE_FORWARD || piece->phase == PHASE_EVAL) &&
		    site && site->module)
			return false;
	}
	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		const struct shape *shape = scene_shape(scene, piece);
		for (int k = 0; piece->bucket == BUCKET_PARAMETER && k < shape->count;
		     k++)
			if (shape->of[k] == number)
				return true;
	}
	return false;
}

/* Which pieces tell of the batch? */
enum among {
	GIVEN,  /* what the step was given: inputs made in it */
	STANDS, /* inputs that were there before it */
	MADE    /* all that it made */
};

static bool tells(const struct scene *scene, const struct piece *piece,
                  enum among among)
{
	bool input = piece->bucket == BUCKET_INPUT;

	if (among == STANDS)
		return input && piece->taken < scene->from &&
		       (piece->given < 0 || piece->given >= scene->from);
	return piece->taken >= scene->from && piece->taken < scene->rest.first &&
	       (input || (among == MADE && piece_scales(piece)));
}

/* The first one of what the step was given that is a batch. Of what it made: the first that some bytes
 * have as it is (many numbers are multiples of 2), else the one that most have; 0. */
static int64_t batch_among(const struct scene *scene, enum among among)
{
	const struct script *script = &scene->script;
	int64_t tried = 0, last = 0, best = 0;
	const double some = 0.02;
	double most = -1, share;

	for (size_t i = 0; i < script->count && tried < 64; i++) {
		const struct piece *piece = &script->pieces[i];
		const struct shape *shape = scene_shape(scene, piece);
		if (!tells(scene, piece, among) || shape->count < 2 ||
		    shape->of[0] < 2 || shape->of[0] == last ||
		    scene_weight_like(scene, piece))
			continue;
		last = shape->of[0];
		tried++;
		if (among == MADE && weight_has(scene, last))
			continue;
		share = is_batch(scene, last);
		if (among == STANDS && share < some)
			continue;
		if (share >= (among == GIVEN ? 0 : some))
			return last;
		if (share > most) {
			most = share;
			best = last;
		}
	}
	return best;
}

/* The first dimension of what the step was given; then of that again, if what has the shape of a
 * weight is made of weights; else of what it made first that most of the rest has too. */
void scene_find_batch(struct scene *scene)
{
	size_t size = scene->places->site_count * sizeof(*scene->weight_like);
	bool *told = allocate(size + 1);

	memcpy(told, scene->weight_like, size);
	made_of_weights(scene, false);
	scene->batch = batch_among(scene, GIVEN);
	/* What begins with the batch is of it, should a weight have that shape too. */
	for (size_t i = 0; i < scene->places->site_count; i++)
		if (!scene->batch ||
		    (scene->shapes[i].count && scene->shapes[i].of[0] == scene->batch))
			scene->weight_like[i] = told[i];
	if (!scene->batch)
		scene->batch = batch_among(scene, GIVEN);
	if (!scene->batch) {
		made_of_weights(scene, true);
		scene->batch = batch_among(scene, GIVEN);
	}
	if (!scene->batch) {
		memcpy(scene->weight_like, told, size);
		scene->batch = batch_among(scene, STANDS);
	}
	if (!scene->batch)
		scene->batch = batch_among(scene, MADE);
	free(told);
}

/* Token numbers have one: [batch, length] of integers. 0: a piece that is none of them. */
static int64_t length_of(const struct scene *scene, const struct piece *piece)
{
	const struct site *site = scene_site(scene, piece);
	const struct shape *shape = scene_shape(scene, piece);

	return site && site->dtype && !strcmp(site->dtype, "int64") &&
	                       shape->count == 2 && shape->of[0] == scene->batch &&
	                       shape->of[1] >= 16
	               ? shape->of[1]
	               : 0;
}

/* That of this step; and that of the step from which the rest is told, whose shapes it has. */
void scene_find_length(struct scene *scene)
{
	const struct rest *rest = &scene->rest;

	for (size_t i = scene->script.count; i-- > 0 && !scene->length;) {
		const struct piece *piece = &scene->script.pieces[i];
		if (piece->taken >= scene->from && piece->taken < rest->first)
			scene->length = length_of(scene, piece);
	}
	for (size_t i = 0; rest->kind == REST_LIKE_STEP && i < scene->script.count &&
	                   !scene->like_length;
	     i++)
		if (scene->script.pieces[i].step == rest->like)
			scene->like_length = length_of(scene, &scene->script.pieces[i]);
}
