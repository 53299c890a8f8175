/* lever_models.c - levers on models beside the one that is trained: teachers, averages,
 * references, by the name that the script has for them.
 * Called from: lever_gradients.c. */
#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "scene.h"
#include "text.h"

/* Is it in the model of this name? The only one has none: "". */
static bool in_root(const struct site *site, const char *root)
{
	size_t length = strlen(root);

	return site && site->module && !strncmp(site->module, root, length) &&
	       (!length || !site->module[length] || site->module[length] == '.');
}

/* Is this tensor of the model? Without a root (NULL) all names are one model's; of one without a
 * name ("") all but those that no model has. */
static bool of_model(const struct tensor *tensor, const char *root)
{
	size_t length = root ? strlen(root) : 0;

	if (!tensor || !root)
		return tensor;
	return length ? !strncmp(tensor->name, root, length) &&
	                        tensor->name[length] == '.'
	              : tensor->name[0] != '?';
}

/* The place of the first forward of the model that the trace has; NULL. */
static const struct site *enters(const struct scene *scene, const char *root)
{
	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		const struct site *site = scene_site(scene, piece);
		if (piece->phase == PHASE_FORWARD && in_root(site, root))
			return site;
	}
	return NULL;
}

enum passage { PASSES, ENDS, NOT_SEEN };

/* Does a backward go on through the model to something that is trained? Then its first module
 * makes a gradient of what it was given; *handed: its place. */
static enum passage passes(const struct scene *scene, const char *root, int64_t *handed)
{
	const struct site *first = enters(scene, root);
	enum passage seen = NOT_SEEN;

	for (size_t i = 0; first && i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		const struct site *site = scene_site(scene, piece);
		if (piece->phase != PHASE_BACKWARD || !in_root(site, root))
			continue;
		seen = ENDS;
		if (strcmp(site->module, first->module) != 0)
			continue;
		*handed = piece->site;
		if (piece->bucket == BUCKET_GRADIENT
		            ? !of_model(scene_owner(scene, piece), root)
		            : scene_shape(scene, piece)->count > 1 &&
		                      !scene_weight_like(scene, piece))
			return PASSES;
	}
	return seen;
}

/* A model that no optimizer has: its gradients are not made; and what its forward keeps goes, but
 * where a gradient passes through it. */
static void without_gradients(struct scene *scene, const char *root, bool through,
                              int64_t handed)
{
	enum { FURTHER = 6 };

	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		const struct site *site = scene_site(scene, piece);
		if (!in_root(site, root))
			continue;
		if (piece->phase == PHASE_BACKWARD) {
			if (!through ||
			    (scene_weight_like(scene, piece) && piece->site != handed))
				edit_bytes(&scene->edit, (int32_t)i, 0);
			continue;
		}
		if (through || piece->phase != PHASE_FORWARD ||
		    piece->bucket != BUCKET_ACTIVATION ||
		    i + FURTHER >= scene->script.count)
			continue;
		edit_given_by(&scene->edit, &scene->script, (int32_t)i,
		              scene->script.pieces[i + FURTHER].taken);
	}
}

static void unowned_root(struct scene *scene, const char *root, int64_t bytes)
{
	int64_t handed = -1;
	enum passage passage = passes(scene, root, &handed);
	const char *model = *root ? root : "the model";
	const char *unsure = passage == NOT_SEEN
	                             ? "only if no gradient is to pass through it"
	                             : NULL;
	char *basis =
	        format_text("%s of parameters of %s would be trained, and no optimizer "
	                    "has them: they get gradients, and its forward keeps what "
	                    "these need",
	                    text_size(bytes).s, model);

	if (passage != PASSES) {
		without_gradients(scene, root, false, -1);
		scene_try(scene,
		          (struct lever){
		                  .id = "no_grad",
		                  .lever = "no_grad",
		                  .fault = true,
		                  .cures = true,
		                  .cost = 1,
		                  .unsure = unsure,
		                  .target = copy_text(root),
		                  .change = format_text("put the forward of %s under "
		                                        "torch.no_grad()",
		                                        model),
		                  .basis = copy_text(basis)},
		          false);
	}
	without_gradients(scene, root, passage == PASSES, handed);
	scene_try(scene,
	          (struct lever){.id = "unowned_gradients",
	                         .lever = "gradients nobody uses",
	                         .fault = true,
	                         .cures = true,
	                         .cost = 1,
	                         .unsure = unsure,
	                         .change = format_text("%s.requires_grad_(False)",
	                                               *root ? root : "model"),
	                         .basis = copy_text(basis)},
	          false);
	free(basis);
}

/* A model that nobody trains: its weights elsewhere, or what it says computed once. */
static void copy_elsewhere(struct scene *scene, const char *root)
{
	int64_t bytes = 0;

	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		const struct tensor *owner =
		        piece->bucket == BUCKET_PARAMETER ||
		                        piece->bucket == BUCKET_BUFFER
		                ? scene_owner(scene, piece)
		                : NULL;
		if (!of_model(owner, root))
			continue;
		bytes += piece->bytes;
		edit_bytes(&scene->edit, (int32_t)i, 0);
	}
	if (bytes * 100 < scene->oom->moment.allocated) {
		edit_clear(&scene->edit);
		return;
	}
	scene_try(scene,
	          (struct lever){.id = "frozen_copy_elsewhere",
	                         .lever = "copy elsewhere",
	                         .cost = 2,
	                         .change = format_text(
	                                 "move %s to the CPU or to another device, or "
	                                 "compute its outputs once before training",
	                                 root),
	                         .basis = format_text("%s of weights of %s, which no "
	                                              "optimizer has",
	                                              text_size(bytes).s, root)},
	          false);
}

static void copies_elsewhere(struct scene *scene)
{
	struct rows *rows = db_rows(
	        scene->trace->db,
	        "SELECT substr(key, 7) FROM meta WHERE key LIKE 'aside._%' ORDER BY 1",
	        "");

	while (rows_next(rows)) {
		char *root = rows_copy(rows, 0);
		copy_elsewhere(scene, root);
		free(root);
	}
}

/* Numbers of the optimizers that a model's parameters are in, as text; NULL. The caller's. */
static char *owners_of(const struct scene *scene, const char *module)
{
	size_t length = strcspn(module, ".");
	char *root = format_text("owner.%.*s", (int)length, module);
	char *owners = rows_first_text(db_rows(
	        scene->trace->db, "SELECT value FROM meta WHERE key = ?", "t", root));

	free(root);
	return owners;
}

/* Bytes that a model's forward in this step keeps, and the place of the first of them. */
static int64_t kept_by(const struct scene *scene, const char *root, int64_t *site)
{
	int64_t bytes = 0;

	*site = -1;
	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		if (piece->taken >= scene->from && piece->given < 0 &&
		    piece->taken < scene->rest.first && piece->phase == PHASE_FORWARD &&
		    piece->bucket == BUCKET_ACTIVATION &&
		    in_root(scene_site(scene, piece), root)) {
			*site = bytes ? *site : piece->site;
			bytes += piece->bytes;
		}
	}
	return bytes;
}

/* The refused forward is one model's, and another one's, which another optimizer steps, keeps its
 * graph beside it: a discriminator that learns from pictures that are not detached. */
static void other_model_kept(struct scene *scene)
{
	const struct site *refused = places_site(scene->places, scene->oom->site);
	char *mine =
	        refused && refused->module ? owners_of(scene, refused->module) : NULL;
	struct rows *rows;

	if (!mine || scene->oom->moment.phase != PHASE_FORWARD) {
		free(mine);
		return;
	}
	rows = db_rows(scene->trace->db,
	               "SELECT substr(key, 7) FROM meta WHERE key LIKE 'owner._%' AND "
	               "value <> ? ORDER BY 1",
	               "t", mine);
	while (rows_next(rows)) {
		char *root = rows_copy(rows, 0);
		int64_t site, bytes = kept_by(scene, root, &site);
		if (bytes * 20 >= scene->oom->moment.allocated) {
			without_gradients(scene, root, false, -1);
			scene_try(
			        scene,
			        (struct lever){
			                .id = "no_grad",
			                .lever = "no_grad",
			                .fault = !scene_first_training(scene),
			                .cures = true,
			                .cost = 1,
			                .unsure = "only if this backward is not to "
			                          "reach that model",
			                .target = copy_text(root),
			                .line = scene_line(scene, site),
			                .change = format_text(
			                        "put the forward of %s under "
			                        "torch.no_grad(), or .detach() what it "
			                        "hands on, where only the other model "
			                        "learns",
			                        root),
			                .basis = format_text(
			                        "%s that the forward of %s keeps, "
			                        "which another optimizer steps",
			                        text_size(bytes).s, root)},
			        false);
		}
		free(root);
	}
	free(mine);
}

/* Does a module that has a parameter of the model learn in the acts [from, to)? Then its forward
 * keeps something for the backward. */
static bool model_learns(const struct scene *scene, const char *root, int32_t from,
                         int32_t to)
{
	const struct places *places = scene->places;

	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		const struct site *site = scene_site(scene, piece);
		size_t length = site && site->module ? strlen(site->module) : 0;
		bool kept = piece->bucket == BUCKET_ACTIVATION &&
		            (piece->given < 0 || piece->phase_given != PHASE_FORWARD);
		if (!length || piece->taken < from || piece->taken >= to ||
		    !(kept || piece->phase == PHASE_BACKWARD))
			continue;
		for (size_t k = 0; k < places->tensor_count; k++) {
			const struct tensor *tensor = &places->tensors[k];
			if (of_model(tensor, root) &&
			    !strncmp(tensor->name, site->module, length) &&
			    tensor->name[length] == '.')
				return true;
		}
	}
	return false;
}

/* The first act of the step before; that of this one where it is like no other. */
static int32_t since_when(const struct scene *scene)
{
	int32_t first = scene->from;

	if (scene->rest.kind == REST_DERIVED)
		return first;
	for (size_t s = 0; s < scene->script.step_count; s++)
		if (scene->script.steps[s].step < scene->step)
			first = scene->script.steps[s].first;
	return first;
}

/* Was a parameter of another model made after the first state of this one? Models that were there before
 * are trained side by side, each in its turn. */
static bool made_after(const struct scene *scene, const char *root)
{
	int32_t learned = INT32_MAX;

	if (!root) /* the first one has no name, and the next may have none yet */
		return true;
	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		if (piece->bucket == BUCKET_OPTIMIZER && piece->taken < learned &&
		    of_model(scene_owner(scene, piece), root))
			learned = piece->taken;
	}
	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		if (piece->taken > learned && piece->taken < scene->rest.first &&
		    (piece->bucket == BUCKET_PARAMETER ||
		     (piece->bucket == BUCKET_INPUT &&
		      scene_weight_like(scene, piece))) &&
		    !of_model(scene_owner(scene, piece), root))
			return true;
	}
	return false;
}

/* A model that was trained in earlier steps and does not learn in this one, though others do: its
 * weights, gradients and states lie there still. */
static void earlier_model(struct scene *scene, const char *root)
{
	int64_t bytes = 0, states = 0;
	bool others = false;

	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		bool mine;
		others = others || (piece->taken >= scene->from &&
		                    piece->taken < scene->rest.first &&
		                    piece->phase == PHASE_FORWARD);
		if (piece->given >= 0 || piece->taken >= scene->from)
			continue;
		mine = of_model(scene_owner(scene, piece), root);
		bytes += mine ? piece->bytes : 0;
		states += mine && piece->bucket == BUCKET_OPTIMIZER ? piece->bytes : 0;
		if (mine)
			edit_given(&scene->edit, (int32_t)i, scene->from);
	}
	if (!states || !others || bytes * 20 < scene->oom->moment.allocated ||
	    model_learns(scene, root, since_when(scene), scene->rest.first)) {
		edit_clear(&scene->edit);
		return;
	}
	scene_try(scene,
	          (struct lever){
	                  .id = "old_optimizer",
	                  .lever = "let go of the model before",
	                  .fault = made_after(scene, root),
	                  .cures = true,
	                  .ends_stages = true,
	                  .cost = 1,
	                  .unsure = "only if no later step trains that model",
	                  .target = copy_text(root ? root : ""),
	                  .change = copy_text(
	                          "delete the model that earlier steps trained, and "
	                          "its optimizer, before you make the next one"),
	                  .basis = format_text("%s of weights, gradients and states of "
	                                       "%s, which does not learn in this step",
	                                       text_size(bytes).s,
	                                       root ? root : "the first model")},
	          false);
}

static void earlier_models(struct scene *scene)
{
	struct rows *rows = db_rows(
	        scene->trace->db,
	        "SELECT substr(key, 7) FROM meta WHERE key LIKE 'owner._%' ORDER BY 1",
	        "");
	bool any = false;

	while (rows_next(rows)) {
		char *root = rows_copy(rows, 0);
		earlier_model(scene, root);
		any = true;
		free(root);
	}
	if (!any)
		earlier_model(scene, NULL);
}

/* Models by name, with bytes of their parameters that no optimizer has; false: none is told. */
bool levers_models(struct scene *scene)
{
	struct rows *rows =
	        db_rows(scene->trace->db,
	                "SELECT substr(key, 9), CAST(value AS INTEGER) FROM meta "
	                "WHERE key LIKE 'unowned.%'",
	                "");
	bool told = false;

	while (rows_next(rows)) {
		char *root = rows_copy(rows, 0);
		unowned_root(scene, root, rows_number(rows, 1));
		told = true;
		free(root);
	}
	copies_elsewhere(scene);
	other_model_kept(scene);
	earlier_models(scene);
	return told;
}
