/* lever_optimizer.c - levers on the optimizer, its states and gradients.
 * Called from: levers.c. */
#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "scene.h"
#include "text.h"
#include "whole.h"

/* Temporaries that live beside each other in a step: an optimizer that goes over all weights
 * at once has many. */
static bool passing(const struct piece *piece)
{
	return piece->phase == PHASE_OPTIMIZER && piece->bucket != BUCKET_OPTIMIZER &&
	       piece->bucket != BUCKET_PARAMETER && piece->bucket != BUCKET_GRADIENT &&
	       piece->bucket != BUCKET_COMMUNICATION;
}

static int64_t passing_most(const struct scene *scene, int64_t *largest)
{
	int64_t now = 0, most = 0;

	*largest = 0;
	for (size_t i = 0; i < scene->script.act_count; i++) {
		int32_t act = scene->script.acts[i];
		const struct piece *piece;
		if (!act_moves(act))
			continue;
		piece = &scene->script.pieces[act >= 0 ? act : ~act];
		if (!passing(piece))
			continue;
		now += act >= 0 ? piece->bytes : -piece->bytes;
		most = now > most ? now : most;
		if (piece->bytes > *largest)
			*largest = piece->bytes;
	}
	return most;
}

static bool is_foreach(const struct scene *scene)
{
	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		const struct site *site = scene_site(scene, piece);
		if (passing(piece) && site && site->op && strstr(site->op, "_foreach"))
			return true;
	}
	return false;
}

/* one_by_one: for each weight two of its size remain, one weight at a time. */
static void without_foreach(struct scene *scene, bool one_by_one)
{
	for (size_t i = 0; i < scene->script.count; i++)
		if (passing(&scene->script.pieces[i]))
			edit_bytes(&scene->edit, (int32_t)i, 0);
	if (!one_by_one)
		return;
	for (size_t s = 0; s < scene->script.step_count; s++) {
		int32_t from = -1, to = -1;
		int64_t largest = 0;
		int32_t begins = scene->script.steps[s].first;
		int32_t ends = script_step_end(&scene->script, s);
		for (int32_t at = begins; at < ends; at++) {
			int32_t act = scene->script.acts[at];
			const struct piece *piece =
			        act >= 0 ? &scene->script.pieces[act] : NULL;
			if (!piece || !passing(piece))
				continue;
			from = from < 0 ? at : from;
			to = at + 1;
			largest = piece->bytes > largest ? piece->bytes : largest;
		}
		if (from >= 0)
			edit_extra(&scene->edit, (struct extra){.bytes = 2 * largest,
			                                        .from = from,
			                                        .to = to});
	}
}

static void foreach_levers(struct scene *scene)
{
	int64_t largest, most = passing_most(scene, &largest);

	if (!is_foreach(scene) && scene->rest.kind != REST_DERIVED)
		return;
	if (most <= 2 * largest || most < 1 << 20)
		return;
	without_foreach(scene, false);
	scene_try(scene,
	          (struct lever){.id = "fused_optimizer",
	                         .lever = "fused optimizer",
	                         .cost = 0,
	                         .change = copy_text("give the optimizer fused=True"),
	                         .basis = format_text("a step over all weights at once "
	                                              "needs %s besides the weights",
	                                              text_size(most).s)},
	          false);
	without_foreach(scene, true);
	scene_try(scene,
	          (struct lever){
	                  .id = "foreach_off",
	                  .lever = "foreach off",
	                  .cost = 0,
	                  .change = copy_text("give the optimizer foreach=False"),
	                  .basis = format_text("a step over all weights at once needs "
	                                       "%s; one weight at a time needs %s",
	                                       text_size(most).s,
	                                       text_size(2 * largest).s)},
	          false);
}

/* Sizes of the parameters, each once, in ascending order. */
struct sizes {
	int64_t *list;
	size_t count;
};

static struct sizes parameter_sizes(const struct scene *scene)
{
	const struct places *places = scene->places;
	size_t room = scene->script.count + places->tensor_count + 1, all = 0;
	struct sizes sizes = {.list = allocate(room * sizeof(*sizes.list))};

	for (size_t i = 0; i < scene->script.count; i++)
		if (scene->script.pieces[i].bucket == BUCKET_PARAMETER)
			sizes.list[all++] = piece_asked(&scene->script.pieces[i]);
	for (size_t i = 0; i < places->tensor_count; i++)
		if (places->tensors[i].bucket == BUCKET_PARAMETER)
			sizes.list[all++] = places->tensors[i].bytes;
	qsort(sizes.list, all, sizeof(*sizes.list), scene_by_number);
	for (size_t i = 0; i < all; i++)
		if (!sizes.count || sizes.list[sizes.count - 1] != sizes.list[i])
			sizes.list[sizes.count++] = sizes.list[i];
	return sizes;
}

/* Is one of the sizes this many bytes? loose: of what was asked for only the block is known, which may
 * be the whole of a free one. */
static bool has_size(const struct sizes *sizes, int64_t bytes, bool loose)
{
	enum { REST = 1 << 20 };
	size_t low = 0, high = sizes->count;
	int64_t found;

	while (low < high) { /* the first that is larger */
		size_t middle = (low + high) / 2;
		if (sizes->list[middle] > bytes)
			high = middle;
		else
			low = middle + 1;
	}
	found = low ? sizes->list[low - 1] : -1;
	return found == bytes || (loose && found > 0 && bytes - found <= REST);
}

/* Has a parameter, of 32 or of 16 bits, as many numbers as this float32 state? Factors of a
 * matrix have another number. */
static bool by_element(const struct sizes *sizes, const struct piece *piece)
{
	int64_t bytes = piece_asked(piece);
	bool loose = piece->requested <= 0;

	return has_size(sizes, bytes, loose) || has_size(sizes, bytes / 2, loose);
}

/* Blockwise 8-bit states: a byte for each of the numbers and a float32 for each 256; tensors
 * below 4,096 numbers stay as they are (bitsandbytes, min_8bit_size). Its step holds nothing
 * beside them. Its optimizers have states by element alone. */
static void small_states(struct scene *scene)
{
	struct sizes sizes = parameter_sizes(scene);
	int64_t bytes = 0, other = 0;

	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		const struct site *site = scene_site(scene, piece);
		int64_t numbers = piece_asked(piece) / 4;
		int64_t held = piece->given < 0 ? piece->bytes : 0;
		if (passing(piece))
			edit_bytes(&scene->edit, (int32_t)i, 0);
		if (piece->bucket != BUCKET_OPTIMIZER || numbers < 4096 ||
		    (site && (!site->dtype || strcmp(site->dtype, "float32") != 0)))
			continue;
		if (sizes.count && !by_element(&sizes, piece)) {
			other += held;
			continue;
		}
		bytes += held;
		edit_bytes(&scene->edit, (int32_t)i, numbers + numbers / 256 * 4);
	}
	free(sizes.list);
	if (!bytes) {
		edit_clear(&scene->edit);
		return;
	}
	scene_try(
	        scene,
	        (struct lever){
	                .id = "8bit_optimizer",
	                .lever = "8-bit optimizer",
	                .cost = 3,
	                .unsure = other > bytes / 4
	                                  ? "states that are no value for each number "
	                                    "of a parameter have no 8-bit form, and "
	                                    "here they stay"
	                                  : NULL,
	                .change = copy_text("use an 8-bit optimizer (bitsandbytes)"),
	                .basis = format_text("%s of float32 optimizer states; they "
	                                     "lose precision",
	                                     text_size(bytes).s)},
	        false);
}

static int64_t shrink_states(struct scene *scene, int64_t by)
{
	int64_t bytes = 0;

	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		bool state = piece->bucket == BUCKET_OPTIMIZER;
		if (!state && !passing(piece))
			continue;
		bytes += state && piece->given < 0 ? piece->bytes : 0;
		edit_bytes(&scene->edit, (int32_t)i, by ? piece->bytes / by + 1 : 0);
	}
	return bytes;
}

/* Each gradient is used and let go of as soon as it is there. */
static void in_backward(struct scene *scene)
{
	int32_t before = -1, step = -1;
	int64_t bytes = 0; /* of the newest backward */

	if (scene->oom->moment.step.micro_steps > 1)
		return;
	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		if (piece->bucket != BUCKET_GRADIENT ||
		    piece->phase != PHASE_BACKWARD ||
		    scene_passing_gradient(scene, piece))
			continue;
		if (piece->step != step && piece->taken < scene->rest.first)
			bytes = 0;
		step = piece->step;
		bytes += piece->taken < scene->rest.first ? piece->bytes : 0;
		if (before >= 0 && scene->script.pieces[before].step == piece->step)
			edit_given(&scene->edit, before, piece->taken);
		before = (int32_t)i;
	}
	if (before < 0)
		return;
	/* The step's own pass over all weights is gone. */
	without_foreach(scene, false);
	scene_try(
	        scene,
	        (struct lever){.id = "optimizer_in_backward",
	                       .lever = "optimizer in backward",
	                       .cost = 3,
	                       .change = copy_text("step each parameter in "
	                                           "register_post_accumulate_grad_hook "
	                                           "and let its gradient go; no "
	                                           "clipping over all of them"),
	                       .basis = format_text(
	                               "the gradients (%s) then live one at a time",
	                               text_size(bytes).s)},
	        false);
}

/* Gradients stand a second time in DDP's buckets. */
static void bucket_view(struct scene *scene)
{
	int64_t buckets = 0, bytes = 0;

	for (size_t i = 0; i < scene->script.count; i++)
		if (scene->script.pieces[i].bucket == BUCKET_COMMUNICATION &&
		    scene->script.pieces[i].given < 0)
			buckets += scene->script.pieces[i].bytes;
	if (!buckets)
		return;
	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		if (piece->bucket != BUCKET_GRADIENT)
			continue;
		bytes += piece->step == scene->step ? piece->bytes : 0;
		edit_bytes(&scene->edit, (int32_t)i, 0);
	}
	scene_try(scene,
	          (struct lever){.id = "bucket_view",
	                         .lever = "gradients as views",
	                         .cost = 0,
	                         .change = copy_text("DistributedDataParallel(..., "
	                                             "gradient_as_bucket_view=True)"),
	                         .basis = format_text(
	                                 "the gradients take %s, and DDP's buckets "
	                                 "hold the same numbers in another %s",
	                                 text_size(bytes).s, text_size(buckets).s)},
	          false);
}

static bool looks_up_rows(const struct site *site)
{
	return site && site->op &&
	       (strstr(site->op, "embedding_dense_backward") ||
	        strstr(site->op, "embedding_bag_dense_backward") ||
	        strstr(site->op, "EmbeddingBackward") ||
	        strstr(site->op, "EmbeddingBagBackward"));
}

static bool is_of(const int64_t *sizes, int count, int64_t bytes)
{
	for (int i = 0; i < count; i++)
		if (sizes[i] == bytes)
			return true;
	return false;
}

/* The dense gradient of an embedding has all its rows: it is made of zeros (or of nothing, by
 * older versions) in the backward of a look-up. */
static void sparse_gradients(struct scene *scene)
{
	enum { TABLES = 16 };
	int64_t tables[TABLES], bytes = 0;
	int count = 0;
	bool looked_up = false;

	for (size_t i = 0; i < scene->script.count; i++)
		looked_up = looked_up ||
		            looks_up_rows(scene_site(scene, &scene->script.pieces[i]));
	for (size_t i = 0; looked_up && i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		const struct site *site = scene_site(scene, piece);
		if (piece->phase != PHASE_BACKWARD || piece->bytes < 16 << 20 ||
		    !site || !site->op ||
		    (strcmp(site->op, "aten::zeros") != 0 && !looks_up_rows(site)))
			continue;
		bytes = piece->bytes > bytes ? piece->bytes : bytes;
		if (count < TABLES && !is_of(tables, count, piece->bytes))
			tables[count++] = piece->bytes;
		edit_bytes(&scene->edit, (int32_t)i, piece->bytes / 64 + 512);
	}
	if (!bytes)
		return;
	for (size_t i = 0; i < scene->script.count; i++)
		if (passing(&scene->script.pieces[i]) &&
		    is_of(tables, count, scene->script.pieces[i].bytes))
			edit_bytes(&scene->edit, (int32_t)i, 0);
	scene_try(scene,
	          (struct lever){
	                  .id = "sparse_gradients",
	                  .lever = "sparse gradients",
	                  .cost = 1,
	                  .change = copy_text("nn.Embedding(..., sparse=True) and "
	                                      "torch.optim.SparseAdam or SGD for it"),
	                  .basis = format_text("the gradient has %s, but a batch needs "
	                                       "only the rows that it looks up",
	                                       text_size(bytes).s)},
	          false);
}

void levers_optimizer(struct scene *scene)
{
	int64_t states;

	foreach_levers(scene);
	small_states(scene);
	in_backward(scene);
	bucket_view(scene);
	sparse_gradients(scene);
	states = shrink_states(scene, 2);
	if (states)
		scene_try(
		        scene,
		        (struct lever){.id = "bf16_states",
		                       .lever = "bf16 states",
		                       .cost = 3,
		                       .rough = true,
		                       .change = copy_text(
		                               "keep the optimizer states in bfloat16"),
		                       .basis = format_text("this halves %s of states",
		                                            text_size(states).s)},
		        false);
	edit_clear(&scene->edit);
	states = shrink_states(scene, 0);
	if (states)
		scene_try(scene,
		          (struct lever){
		                  .id = "offload",
		                  .lever = "states on the host",
		                  .cost = 4,
		                  .change = copy_text(
		                          "keep the optimizer states in host memory "
		                          "and step there (DeepSpeed's CPU offload); "
		                          "each step waits for the copies"),
		                  .basis = format_text("%s of states",
		                                       text_size(states).s)},
		          false);
	edit_clear(&scene->edit);
}
