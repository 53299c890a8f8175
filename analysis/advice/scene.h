/* scene.h - a refused run that levers are tried on. For lever_*.c alone. */
#ifndef TIDEMARK_ANALYSIS_SCENE_H
#define TIDEMARK_ANALYSIS_SCENE_H

#include "levers.h"
#include "replayed.h"
#include "rest.h"
#include "swelling.h"

enum { DIMENSIONS = 8 };
struct shape {
	int64_t of[DIMENSIONS];
	int count; /* 0: not known */
};

/* Has it this many samples: as its first dimension, alone or times another, or as a later one
 * (transposed)? */
bool shape_has(const struct shape *shape, int64_t batch);

struct scene {
	struct trace *trace;
	const struct places *places;
	const struct growth *growth;
	const struct oom *oom;
	struct levers *levers;
	struct script script;
	struct rules rules;
	struct rest rest;
	struct swelling swelling;
	struct edit edit;
	struct shape *shapes; /* by site, in the order of places */
	int32_t step, from;   /* the one that was refused, and its first act */
	int64_t batch,
	        length;      /* of a sample dimension, and of a sequence; 0: not seen */
	int64_t like_length; /* ... in the step from which the rest is told; 0 */
	int64_t base_peak,
	        base_since; /* of the whole run, and from the refused step on */
	int trained_here;   /* 1 it is, -1 it is not, 0 not asked yet */
	bool untrained;     /* one model with an optimizer has not been trained yet */
	bool piles_up; /* two steps have left something, too few to call it a leak */
	bool stages;   /* models of earlier stages are kept, and each stage adds one */
	bool *weight_like;          /* by site: it has the shape of a parameter */
	const char **weight_shapes; /* of two dimensions and more, sorted */
	size_t weight_shape_count;
	int64_t largest_parameter; /* bytes; 0: none was seen */
};

void scene_load(struct trace *trace, const struct places *places,
                const struct growth *growth, const struct oom *oom,
                struct levers *levers, struct scene *scene);
void scene_free(struct scene *scene);

const struct site *scene_site(const struct scene *scene, const struct piece *piece);
/* The parameter, buffer, gradient or state that lies there, by its name; NULL. */
const struct tensor *scene_owner(const struct scene *scene, const struct piece *piece);
const struct shape *scene_shape(const struct scene *scene, const struct piece *piece);
bool scene_weight_like(const struct scene *scene, const struct piece *piece);
/* Has a parameter, a gradient or a state exactly this shape, of two dimensions or more? */
bool scene_shape_of_weight(const struct scene *scene, const struct site *site);
/* Is this a gradient that is larger than any parameter's? It is on its way through a backward, or of a
 * backward whose result the loss is made of. */
bool scene_passing_gradient(const struct scene *scene, const struct piece *piece);

/* For qsort and bsearch: texts, and numbers of 64 bits. */
int scene_by_text(const void *left, const void *right);
int scene_by_number(const void *left, const void *right);

/* Was it there when the request was refused? What is forecast may let go of it. */
bool scene_was_there(const struct scene *scene, const struct piece *piece);

/* The act with which the first step after this one begins; -1. */
int32_t scene_next_step(const struct scene *scene, int32_t step);

/* Fills batch; and length and like_length. */
void scene_find_batch(struct scene *scene);
void scene_find_length(struct scene *scene);

/* Had no earlier step a batch of this size? Then it is the batch that differs, and a smaller one
 * is no larger in any step. */
bool scene_new_batch(const struct scene *scene);

/* Was a step complete before the one that was refused? */
bool scene_trained_before(const struct scene *scene);

/* Has a module of this forward not been trained yet, that an optimizer is to train? Then the forward
 * is hardly an evaluation: the first backward of that module is still to come. In words; NULL: no. */
const char *scene_first_training(const struct scene *scene);

/* Is the model called from a line from which a complete step called it too? Then it is trained
 * there, whatever the shapes are. */
bool scene_trained_here(struct scene *scene);

/* The user's line of a place; its texts are the caller's. And "model.py:31", or the operator
 * where no line is known; the caller's. */
struct line scene_line(const struct scene *scene, int64_t site);
char *scene_where(const struct scene *scene, int64_t site);

/* Replays with scene->edit, fills saves, peak and mark, and keeps the lever where it saves
 * anything or is always wanted; clears the edit. Takes the lever's texts. */
void scene_try(struct scene *scene, struct lever lever, bool always);

/* Does the run reach the end of what is forecast with the edit, with room where that is only
 * derived? */
bool scene_fits(struct scene *scene, struct replayed *replayed);

/* Which list's which layer a module is in: "h.3.mlp" is 3 of "h". Returns the length of the
 * list's name, -1 where there is none. */
int scene_layer(const char *module, int64_t *index);

/* The levers, each file its kind. */
void levers_faults(struct scene *scene);
void levers_leak(struct scene *scene);
void levers_gradients(struct scene *scene);
void levers_data(struct scene *scene);
void levers_kept(struct scene *scene);   /* first: it tells what others can be */
void levers_stages(struct scene *scene); /* likewise */
void levers_forward(struct scene *scene);
bool levers_models(
        struct scene *scene); /* false: all that is trained has an optimizer */
void levers_turns(struct scene *scene);
void levers_room(struct scene *scene);
void levers_optimizer(struct scene *scene);
void levers_around(struct scene *scene);

#endif
