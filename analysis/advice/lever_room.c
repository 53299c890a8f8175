/* lever_room.c - levers that buy room: less data at once, less kept of a forward.
 * Called from: levers.c. */
#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "layers.h"
#include "scene.h"
#include "text.h"
#include "whole.h"

/* Of a smaller batch or sequence: what has the dimension shrinks with it, once for each time
 * that it has it. */
static void shrink(struct scene *scene, int64_t whole, int64_t part, bool length)
{
	double share = (double)part / (double)whole;
	/* What is forecast from a step of another size has that one's shapes. */
	bool scaled = scene->rest.scale != 1;

	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		const struct shape *shape = scene_shape(scene, piece);
		double factor = 1;
		bool other = scaled && piece->taken >= scene->rest.first;
		int64_t had = other && scene->like_length ? scene->like_length : whole;
		if (!(piece_scales(piece) || scene_passing_gradient(scene, piece)) ||
		    scene_weight_like(scene, piece))
			continue;
		if (!shape->count && !length && piece->bytes >= 1 << 20)
			factor = share;
		if (!length && (other || shape_has(shape, whole)))
			factor = share;
		for (int k = 0; length && k < shape->count; k++) {
			bool flat = k == 0 && scene->batch > 1 &&
			            (shape->of[0] == scene->batch * had ||
			             shape->of[0] == scene->batch * (had - 1));
			if (shape->of[k] == had || shape->of[k] == had - 1 || flat)
				factor *= share;
		}
		if (factor < 1)
			edit_bytes(&scene->edit, (int32_t)i,
			           whole_of((double)piece_asked(piece) * factor) + 1);
	}
}

/* A part that is looked for is not taken at the edge: holes fall differently by chance. */
static bool with_room(const struct scene *scene, const struct replayed *replayed)
{
	return (double)replayed->peak_reserved <=
	               0.9 * (double)script_capacity(&scene->script) &&
	       replayed->retries == 0;
}

/* The largest part with which the run fits, a thirty-second below the whole at the most; 0. */
static int64_t largest(struct scene *scene, int64_t whole, bool length)
{
	int64_t low = 0, high = whole;
	struct replayed replayed;

	while (high - low > 1 && (high - low) * 64 > whole) {
		int64_t middle = (low + high) / 2;
		shrink(scene, whole, middle, length);
		if (scene_fits(scene, &replayed) && with_room(scene, &replayed))
			low = middle;
		else
			high = middle;
		edit_clear(&scene->edit);
	}
	/* Not the last byte: shapes that are rounded, and kernels, are not all proportional. */
	return low > 16 ? low - low / 32 : low;
}

static bool known_rest(const struct scene *scene)
{
	return scene->rest.kind != REST_UNKNOWN;
}

/* Is this batch a loader's, with a rest that was joined to it? Then it is less than two of those
 * before; a loader's batch that is no smaller than theirs changes nothing by itself. */
static const char *only_as_cap(const struct scene *scene, int64_t part)
{
	double usual = (double)scene->batch / scene->rest.scale;

	return scene->rest.kind == REST_LIKE_STEP && scene->rest.scale > 1.02 &&
	                       scene->rest.scale < 2 && (double)part > 0.98 * usual
	               ? "only if it caps this batch too: those before were smaller"
	               : NULL;
}

/* Was an evaluation refused, with gradients off and a batch that no training step had? Its numbers do
 * not depend on its batch. */
static bool larger_evaluation(const struct scene *scene)
{
	int32_t refused = scene->script.refused_piece;

	return refused >= 0 && !scene->growth->count &&
	       scene->script.pieces[refused].phase == PHASE_EVAL &&
	       scene_trained_before(scene) && scene_new_batch(scene);
}

static void smaller_batch(struct scene *scene)
{
	bool evaluates = larger_evaluation(scene);
	int64_t whole = scene->batch, part;
	struct lever lever = {
	        .id = "smaller_batch", .lever = "smaller batch", .cost = 2};

	if (whole < 2)
		return;
	part = largest(scene, whole, false);
	if (!known_rest(scene) && part > whole / 2)
		part = whole / 2;
	if (part < 1)
		part = 1;
	lever.value = part;
	lever.unsure = only_as_cap(scene, part);
	lever.cost = evaluates ? 0 : lever.cost;
	lever.change = format_text("%s %lld instead of %lld",
	                           evaluates ? "evaluate with a batch of" : "batch",
	                           (long long)part, (long long)whole);
	lever.basis = copy_text(
	        evaluates ? "the steps before had smaller batches, and the "
	                    "size of a batch changes no result of an evaluation"
	                  : "all data, activations and gradients of "
	                    "activations shrink; weights and states "
	                    "stay");
	shrink(scene, whole, part, false);
	scene_try(scene, lever, false);
	if (!known_rest(scene) || scene->oom->moment.step.micro_steps > 1 || evaluates)
		return;
	shrink(scene, whole, part, false);
	scene_try(scene,
	          (struct lever){.id = "accumulate",
	                         .lever = "accumulate gradients",
	                         .value = part,
	                         .cost = 2,
	                         .unsure = only_as_cap(scene, part),
	                         .change = format_text(
	                                 "batch %lld, and call optimizer.step() "
	                                 "after every %lld of them: the training "
	                                 "is the same and takes as long",
	                                 (long long)part,
	                                 (long long)((whole + part - 1) / part)),
	                         .basis = copy_text(
	                                 "it saves as much memory as a smaller batch")},
	          false);
}

static void shorter_sequence(struct scene *scene)
{
	int64_t whole = scene->length, part;

	if (whole < 32)
		return;
	part = largest(scene, whole, true);
	if (!known_rest(scene) && part > whole / 2)
		part = whole / 2;
	if (part < 16)
		return;
	shrink(scene, whole, part, true);
	scene_try(scene,
	          (struct lever){
	                  .id = "shorter_sequence",
	                  .lever = "shorter sequences",
	                  .value = part,
	                  .cost = 3,
	                  .change = format_text("use sequences of %lld instead of %lld",
	                                        (long long)part, (long long)whole),
	                  .basis = copy_text(
	                          "each tensor that has the sequence as a dimension "
	                          "shrinks; one that has it twice shrinks by the "
	                          "square")},
	          false);
}

/* When the backward first needs a layer again: before it takes what it makes of the first of the
 * layer's pieces that it gives back. */
static int32_t needed(const struct scene *scene, const struct layer_run *run)
{
	int32_t first = -1;

	for (int32_t i = run->first; i <= run->last; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		if (layers_holds(scene, run, i) && piece->given > run->over &&
		    piece->phase_given == PHASE_BACKWARD &&
		    (first < 0 || piece->given < first))
			first = piece->given;
	}
	for (int32_t at = first - 1; at > run->over; at--)
		if (scene->script.acts[at] >= 0)
			return at;
	return first;
}

static int64_t let_go(struct scene *scene, const struct layer_run *run)
{
	int32_t again = needed(scene, run);
	int64_t bytes = 0;

	for (int32_t i = run->first; i <= run->last; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		if (!layers_holds(scene, run, i) || i == run->output ||
		    (piece->given >= 0 && (piece->given <= run->over ||
		                           piece->phase_given == PHASE_FORWARD)) ||
		    scene_weight_like(scene, piece))
			continue;
		bytes += piece->bytes;
		edit_given(&scene->edit, i, run->over);
		if (again >= 0 && (piece->given < 0 || piece->given > again))
			edit_extra(&scene->edit,
			           (struct extra){.bytes = piece->bytes,
			                          .from = again,
			                          .to = piece->given,
			                          .stream = piece->stream});
	}
	return bytes;
}

static int64_t checkpoint_list(struct scene *scene, const struct layer_runs *runs,
                               const struct layer_run *of)
{
	int64_t bytes = 0;

	for (size_t i = 0; i < runs->count; i++)
		if (layers_same_list(&runs->list[i], of) &&
		    scene->script.pieces[runs->list[i].first].phase == PHASE_FORWARD)
			bytes += let_go(scene, &runs->list[i]);
	return bytes;
}

/* The list of layers with which the peak is lowest. */
static void checkpointing(struct scene *scene)
{
	struct layer_runs runs;
	const struct layer_run *best = NULL;
	int64_t lowest = scene->base_peak, held = 0;

	layers_find(scene, 0, &runs);
	for (size_t i = 0; i < runs.count; i++) {
		struct replayed replayed;
		int64_t bytes;
		size_t before = 0;
		while (before < i &&
		       !layers_same_list(&runs.list[before], &runs.list[i]))
			before++;
		if (before < i)
			continue;
		bytes = checkpoint_list(scene, &runs, &runs.list[i]);
		replay_script(&scene->script, &scene->rules, &scene->edit, true,
		              &replayed);
		edit_clear(&scene->edit);
		if (replayed.peak_allocated < lowest) {
			lowest = replayed.peak_allocated;
			best = &runs.list[i];
			held = bytes;
		}
	}
	if (best && lowest < scene->base_peak - scene->base_peak / 100) {
		const char *dot = best->length ? "." : "";
		checkpoint_list(scene, &runs, best);
		scene_try(
		        scene,
		        (struct lever){
		                .id = "checkpointing",
		                .lever = "checkpointing",
		                .cost = 2,
		                .target = format_text("%.*s", best->length, best->list),
		                .change = format_text(
		                        "put torch.utils.checkpoint around each of "
		                        "%.*s%s* (Hugging Face: "
		                        "model.gradient_checkpointing_enable())",
		                        best->length, best->list, dot),
		                .basis = format_text(
		                        "the layers keep %s for the backward; "
		                        "checkpoints make it again layer by layer",
		                        text_size(held).s)},
		        false);
	}
	layers_free(&runs);
}

enum { SCORES = 32 }; /* different numbers of positions that are looked at */

static bool has_one_of(const char *op, const char *const *parts)
{
	for (; op && *parts; parts++)
		if (strstr(op, *parts))
			return true;
	return false;
}

/* The positions of scores: the last two dimensions are the same, and large; 0: they are none. */
static int64_t positions(const struct scene *scene, const struct piece *piece)
{
	const struct shape *shape = scene_shape(scene, piece);
	int n = shape->count;

	return piece_scales(piece) && n >= 3 && shape->of[n - 1] == shape->of[n - 2] &&
	                       shape->of[n - 1] >= 64 &&
	                       shape->of[n - 1] >= scene->length - 1
	               ? shape->of[n - 1]
	               : 0;
}

static size_t place_in(const int64_t *list, size_t count, int64_t wanted)
{
	size_t k = 0;

	while (k < count && list[k] != wanted)
		k++;
	return k;
}

/* Pictures are square too, and have a softmax over their classes: scores are made by a product.
 * Returns how many numbers of positions it found, of SCORES at the most. */
static size_t score_positions(const struct scene *scene, int64_t *list)
{
	static const char *const makers[] = {"bmm", "Bmm", "matmul", NULL};
	size_t count = 0;

	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		const struct site *site = scene_site(scene, piece);
		int64_t found = positions(scene, piece);
		size_t k = place_in(list, count, found);
		if (found && k == count && k < SCORES && site &&
		    has_one_of(site->op, makers))
			list[count++] = found;
	}
	return count;
}

/* Scores of every pair of positions, and what is made of them. */
static void flash_attention(struct scene *scene)
{
	static const char *const ops[] = {
	        "bmm", "Bmm", "matmul", "softmax",     "Softmax",  "dropout",
	        "mul", "div", "add",    "masked_fill", "_to_copy", NULL};
	int64_t list[SCORES], bytes = 0;
	size_t count = score_positions(scene, list);

	for (size_t i = 0; count && i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		const struct site *site = scene_site(scene, piece);
		if (place_in(list, count, positions(scene, piece)) == count || !site ||
		    !has_one_of(site->op, ops))
			continue;
		bytes = piece->bytes > bytes ? piece->bytes : bytes;
		edit_bytes(&scene->edit, (int32_t)i, 0);
	}
	if (!bytes) {
		edit_clear(&scene->edit);
		return;
	}
	scene_try(scene,
	          (struct lever){
	                  .id = "flash_attention",
	                  .lever = "fused attention",
	                  .cost = 1,
	                  .change = copy_text(
	                          "torch.nn.functional.scaled_dot_product_"
	                          "attention for the "
	                          "product, softmax and product (Hugging Face: "
	                          "attn_implementation=\"sdpa\")"),
	                  .basis = format_text("the scores of all pairs of positions, "
	                                       "up to %s each, are then never stored",
	                                       text_size(bytes).s)},
	          false);
}

static int64_t last_dimension(const struct scene *scene, const struct piece *piece)
{
	const struct shape *shape = scene_shape(scene, piece);

	return shape->count >= 2 ? shape->of[shape->count - 1] : 0;
}

/* The width of logits: that of what the loss takes the softmax of. Where no loss was reached yet,
 * the widest last dimension that a forward makes, if no layer of a list makes it; *guess is true
 * then. */
static int64_t vocabulary(const struct scene *scene, bool *guess)
{
	int64_t loss = 0, widest = 0;
	bool layers = false, reached = scene_trained_before(scene);

	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		const struct site *site = scene_site(scene, piece);
		int64_t last = last_dimension(scene, piece), index;
		reached = reached || piece->phase == PHASE_BACKWARD;
		if (!site || piece->phase != PHASE_FORWARD || !piece_scales(piece) ||
		    scene_weight_like(scene, piece))
			continue;
		if (site->op && strstr(site->op, "log_softmax") && last > loss)
			loss = last;
		if (piece->bytes >= 1 << 20 && last >= widest) {
			layers = scene_layer(site->module, &index) >= 0 ||
			         (layers && last == widest);
			widest = last;
		}
	}
	*guess = !loss;
	if (!loss && !layers && !reached)
		loss = widest;
	return loss >= 4096 ? loss : 0;
}

static void chunked_loss(struct scene *scene)
{
	bool guess;
	int64_t width = vocabulary(scene, &guess), bytes = 0;
	enum { CHUNKS = 8 };

	if (!width)
		return;
	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		if (!piece_scales(piece) || last_dimension(scene, piece) != width ||
		    scene_weight_like(scene, piece))
			continue;
		bytes += piece->step == scene->step ? piece->bytes : 0;
		edit_bytes(&scene->edit, (int32_t)i, piece->bytes / CHUNKS + 512);
	}
	scene_try(scene,
	          (struct lever){
	                  .id = "chunked_loss",
	                  .lever = "loss in chunks",
	                  .value = CHUNKS,
	                  .cost = 1,
	                  .unsure = guess ? "no cross-entropy was reached yet: whether "
	                                    "these are logits is not known"
	                                  : NULL,
	                  .change = copy_text(
	                          "compute the head and the cross-entropy together, in "
	                          "chunks with a checkpoint each (liger_kernel's "
	                          "LigerFusedLinearCrossEntropyLoss does this)"),
	                  .basis = format_text(
	                          "logits of width %lld and copies of them take %s; in "
	                          "chunks, an eighth of that exists at a time",
	                          (long long)width, text_size(bytes).s)},
	          false);
}

/* Half the bytes for what matrix products and convolutions make in float32. */
static void bf16_autocast(struct scene *scene)
{
	int64_t bytes = 0;

	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		const struct site *site = scene_site(scene, piece);
		if (!piece_scales(piece) || !site || !site->dtype ||
		    scene_weight_like(scene, piece))
			continue;
		if (strstr(site->dtype, "float16")) {
			edit_clear(&scene->edit);
			return; /* it has half precision already */
		}
		if (strcmp(site->dtype, "float32") != 0 || piece->phase == PHASE_DATA)
			continue;
		bytes += piece->step == scene->step ? piece->bytes : 0;
		edit_bytes(&scene->edit, (int32_t)i,
		           piece->bytes / 2 + piece->bytes / 16);
	}
	scene_try(scene,
	          (struct lever){
	                  .id = "bf16_autocast",
	                  .lever = "bf16 autocast",
	                  .cost = 1,
	                  .rough = true,
	                  .change = copy_text(
	                          "with torch.autocast(\"cuda\", "
	                          "dtype=torch.bfloat16): around the forward"),
	                  .basis = format_text("activations in float32 take %s; those "
	                                       "of matrix products would take half, "
	                                       "those of norms and losses stay, and "
	                                       "weights get a copy in bfloat16",
	                                       text_size(bytes).s)},
	          false);
}

void levers_room(struct scene *scene)
{
	/* An optimizer's step asks for what weights ask for, whatever the batch. */
	bool grows = scene->oom->moment.phase != PHASE_OPTIMIZER ||
	             scene->rest.kind == REST_LIKE_STEP;

	if (grows) {
		smaller_batch(scene);
		shorter_sequence(scene);
	}
	checkpointing(scene);
	flash_attention(scene);
	chunked_loss(scene);
	bf16_autocast(scene);
}
