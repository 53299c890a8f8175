/* lever_around.c - levers on the allocator's settings, the device, and more devices.
 * Called from: levers.c. */
#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "scene.h"
#include "text.h"

/* What to end, where PyTorch's message says who has it. */
static char *others_text(const struct oom *oom)
{
	const struct processes *all = &oom->processes;
	const struct process *most = NULL;

	for (size_t i = 0; i < all->count; i++)
		if (all->of[i].pid >= 0 && (!most || all->of[i].bytes > most->bytes))
			most = &all->of[i];
	if (all->others < 0)
		return format_text(
		        "end the other programs on %s (nvidia-smi lists them)",
		        oom->moment.device->name);
	if (!most)
		return copy_text(
		        "it is this process's own, beside PyTorch: NCCL, cuDNN or "
		        "another library");
	return format_text("end process %lld, which has %s%s", (long long)most->pid,
	                   text_size(most->bytes).s,
	                   most->bytes < all->others ? ", and the others" : "");
}

static void raise_limit(struct scene *scene)
{
	int64_t limit = scene->script.limit, allowed = scene->rules.allowed;

	if (scene->oom->verdict != LIMIT)
		return;
	scene->script.limit = INT64_MAX;
	scene->rules.allowed = 0;
	scene_try(scene,
	          (struct lever){
	                  .id = "raise_limit",
	                  .lever = "raise the limit",
	                  .fault = true,
	                  .cost = 0,
	                  .change = copy_text(
	                          "torch.cuda.set_per_process_memory_fraction, or the "
	                          "quota, higher"),
	                  .basis = format_text("%s was free on the device, but PyTorch "
	                                       "was not allowed to take it",
	                                       text_size(scene->oom->free).s)},
	          true);
	scene->script.limit = limit;
	scene->rules.allowed = allowed;
}

static void free_device(struct scene *scene)
{
	const struct oom *oom = scene->oom;
	int64_t outside = scene->script.outside;

	if (oom->verdict != OUTSIDE && oom->excess < (int64_t)1 << 30)
		return;
	scene->script.outside = outside - oom->excess;
	scene_try(scene,
	          (struct lever){
	                  .id = "free_device",
	                  .lever = "free the device",
	                  .fault = oom->verdict == OUTSIDE,
	                  .cost = 0,
	                  .change = others_text(oom),
	                  .basis = format_text("%s is outside PyTorch, besides %d MiB "
	                                       "for this process's own CUDA context",
	                                       text_size(oom->excess).s, CONTEXT_MIB)},
	          true);
	scene->script.outside = outside;
}

static void expandable(struct scene *scene)
{
	if (scene->rules.expandable || scene->rules.unknown || scene->oom->cached <= 0)
		return;
	/* Holes are what it gives back: where they would not do, it is not named. */
	if (scene->oom->verdict != FRAGMENTATION &&
	    scene->oom->cached < scene->oom->requested / 4)
		return;
	scene->rules.expandable = true;
	scene_try(scene,
	          (struct lever){
	                  .id = "expandable_segments",
	                  .lever = "expandable segments",
	                  .fault = scene->oom->verdict == FRAGMENTATION,
	                  .cost = 0,
	                  .change = copy_text(
	                          "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True"),
	                  .basis = format_text(
	                          "%s is reserved and not allocated; holes become "
	                          "one piece",
	                          text_size(scene->oom->cached).s)},
	          true);
	scene->rules.expandable = false;
}

static void empty_cache(struct scene *scene)
{
	if (scene->oom->verdict != FRAGMENTATION || scene->rules.unknown)
		return;
	scene->edit.empty_cache_each_step = true;
	scene_try(scene,
	          (struct lever){
	                  .id = "empty_cache",
	                  .lever = "empty the cache",
	                  .cost = 1,
	                  .change = copy_text("call torch.cuda.empty_cache() between "
	                                      "steps, where shapes change"),
	                  .basis = format_text("%s is reserved and not allocated",
	                                       text_size(scene->oom->cached).s)},
	          true);
	scene->edit.empty_cache_each_step = false;
}

static void shard(struct scene *scene)
{
	static const int worlds[] = {2, 4, 8};
	int64_t bytes = 0;

	for (size_t k = 0; k < 3; k++) {
		struct replayed replayed;
		bytes = 0;
		for (size_t i = 0; i < scene->script.count; i++) {
			const struct piece *piece = &scene->script.pieces[i];
			if (piece->bucket != BUCKET_OPTIMIZER &&
			    piece->bucket != BUCKET_GRADIENT &&
			    piece->bucket != BUCKET_PARAMETER &&
			    piece->phase != PHASE_OPTIMIZER)
				continue;
			bytes += piece->given < 0 ? piece->bytes : 0;
			edit_bytes(&scene->edit, (int32_t)i,
			           piece->bytes / worlds[k] + 1);
		}
		if (bytes && (k == 2 || scene_fits(scene, &replayed))) {
			scene_try(
			        scene,
			        (struct lever){
			                .id = "shard",
			                .lever = "shard",
			                .value = worlds[k],
			                .cost = 4,
			                .rough = true,
			                .change = format_text(
			                        "use FSDP or ZeRO-3 over %d devices",
			                        worlds[k]),
			                .basis = format_text("%s of parameters, "
			                                     "gradients and states, a "
			                                     "share each",
			                                     text_size(bytes).s)},
			        false);
			break;
		}
		edit_clear(&scene->edit);
	}
}

void levers_around(struct scene *scene)
{
	raise_limit(scene);
	free_device(scene);
	expandable(scene);
	empty_cache(scene);
	shard(scene);
}
