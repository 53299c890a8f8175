/* levers.c - what would make a run fit, in bytes measured from its own trace.
 *
 * A lever is only named where its bytes lie in the trace. What it saves is counted at the
 * refusal, and where the step would have grown on (forecast.h) at the peak it was heading
 * for.
 * Called from: oom_screen.c. */
#include "levers.h"

#include <stdlib.h>
#include <string.h>

#include "checkpoint.h"
#include "heap.h"
#include "text.h"
#include "whole.h"

struct work {
	struct trace *trace;
	const struct places *places;
	const struct growth *growth;
	const struct oom *oom;
	struct levers *levers;
	int64_t scaling; /* of this step: activations, temporaries, inputs */
	int64_t rest;    /* what the step would have grown by beyond the request */
};

static void put(struct work *work, struct lever lever)
{
	struct levers *levers = work->levers;
	levers->list =
	        grow(levers->list, levers->count, &levers->room, sizeof(*levers->list));
	levers->list[levers->count++] = lever;
}

static bool suffices(const struct work *work, int64_t saves)
{
	/* Bytes that are freed here and there need not make one large piece. */
	return work->oom->verdict != FRAGMENTATION && saves >= work->oom->lacking;
}

static void measure(struct work *work)
{
	const struct segments *all = &work->oom->segments;

	for (size_t i = 0; i < all->block_count; i++) {
		const struct alive *alive = &all->blocks[i];
		if (alive->block.born_step == work->oom->moment.step.id &&
		    alive->bucket >= BUCKET_ACTIVATION &&
		    alive->bucket <= BUCKET_TEMPORARY)
			work->scaling += alive->block.bytes;
	}
	work->rest = work->oom->forecast.growth - work->oom->requested;
}

/* The first dimension of the newest input; 0: not known. */
static int64_t batch_of(struct work *work)
{
	const struct segments *all = &work->oom->segments;
	const struct alive *newest = NULL;
	const struct site *site;

	for (size_t i = 0; i < all->block_count; i++) {
		const struct alive *alive = &all->blocks[i];
		site = places_site(work->places, alive->site);
		if (alive->bucket != BUCKET_INPUT || !site || !site->shape ||
		    !strchr(site->shape, ','))
			continue;
		if (!newest || alive->block.born_step > newest->block.born_step ||
		    (alive->block.born_step == newest->block.born_step &&
		     alive->block.born > newest->block.born))
			newest = alive;
	}
	site = newest ? places_site(work->places, newest->site) : NULL;
	return site ? strtoll(site->shape + 1, NULL, 10) : 0;
}

static void smaller_batch(struct work *work)
{
	const struct oom *oom = work->oom;
	int64_t whole = work->scaling + oom->forecast.growth, batch = batch_of(work);
	double share = (double)oom->lacking / (double)whole;
	struct lever lever = {.lever = "smaller batch", .effort = 1};
	int64_t smaller;

	if (work->scaling <= 0)
		return;
	if (oom->verdict == FRAGMENTATION) {
		whole = oom->requested;
		share = 1 - (double)oom->hole / (double)whole;
	}
	smaller = whole_of((1 - share) * (double)batch);
	/* How far the first step would have grown nobody knows: half is a start. */
	if (oom->forecast.step < 0 && smaller > batch / 2)
		smaller = batch / 2;
	if (batch > 1 && smaller >= 1) {
		lever.change = format_text("batch %lld instead of %lld",
		                           (long long)smaller, (long long)batch);
		lever.saves = whole_of((double)whole * (double)(batch - smaller) /
		                       (double)batch);
		lever.enough = true;
	} else if (batch > 1) {
		lever.change = format_text("batch 1 instead of %lld", (long long)batch);
		lever.saves =
		        whole_of((double)whole * (double)(batch - 1) / (double)batch);
	} else if (share < 1) {
		lever.change = format_text("sequences shorter by %d %%",
		                           (int)whole_within(share * 100, 0, 99) + 1);
		lever.saves = whole_of((double)whole * share) + 1;
		lever.lever = "shorter sequence";
		lever.enough = true;
	} else {
		return;
	}
	lever.basis = format_text(
	        "%s of this step (%s at the refusal) taken as proportional to it",
	        oom->verdict == FRAGMENTATION ? "the request"
	                                      : "activations, temporaries "
	                                        "and inputs",
	        text_size(oom->verdict == FRAGMENTATION ? whole : work->scaling).s);
	put(work, lever);
}

static void checkpointing(struct work *work)
{
	struct checkpoint best = checkpoint_best(work->places, &work->oom->segments,
	                                         work->oom->moment.step.id);
	double share;
	int64_t saves;

	if (best.saves <= 0)
		return;
	share = work->scaling > 0 ? (double)best.saves / (double)work->scaling : 0;
	saves = best.saves +
	        whole_of(share * (double)(work->rest > 0 ? work->rest : 0));
	put(work,
	    (struct lever){
	            .lever = "checkpointing",
	            .change = format_text("torch.utils.checkpoint around each of %s.*",
	                                  best.list),
	            .basis = format_text(
	                    "%s in %d layers; kept: %s that enter them, and "
	                    "one layer at a time is made again",
	                    text_size(best.bytes).s, best.layers,
	                    text_size(best.kept).s),
	            .saves = saves,
	            .enough = suffices(work, saves),
	            .effort = 1});
	checkpoint_free(&best);
}

static void stop_leak(struct work *work)
{
	const struct oom *oom = work->oom;
	int64_t kept = 0;
	struct line line;
	char *where;

	if (!work->growth->count)
		return;
	for (size_t i = 0; i < oom->segments.block_count; i++) {
		const struct alive *alive = &oom->segments.blocks[i];
		if (alive->block.born_step >= 1 &&
		    alive->block.born_step < oom->moment.step.id &&
		    growth_find(work->growth, alive->site, alive->bucket))
			kept += alive->block.bytes;
	}
	if (kept <= 0)
		return;
	const struct site *site = places_site(work->places, work->growth->root);
	line = line_of(work->trace, site ? site->stack : -1);
	where = line.file ? line_text(&line)
	                  : copy_text(site && site->op ? site->op : "?");
	put(work,
	    (struct lever){
	            .lever = "stop the leak",
	            .change = format_text(
	                    "let go of what %s makes; if it is a loss, keep "
	                    "loss.item(): a tensor keeps its graph",
	                    where),
	            .basis = format_text(
	                    "kept from earlier steps, %s more with each step",
	                    text_size(growth_rate(work->growth)).s),
	            .saves = kept,
	            .enough = suffices(work, kept) ||
	                      (oom->verdict == FRAGMENTATION && kept >= oom->segment),
	            .effort = 0,
	            .leak = true});
	free(where);
	line_free(&line);
}

/* Blockwise 8-bit states: a byte for each of the numbers and a float32 for each 256;
 * tensors below 4,096 numbers stay as they are (bitsandbytes, min_8bit_size). */
static void small_states(struct work *work)
{
	int64_t saves = 0, bytes = 0;

	for (size_t i = 0; i < work->oom->segments.block_count; i++) {
		const struct alive *alive = &work->oom->segments.blocks[i];
		const struct site *site = places_site(work->places, alive->site);
		int64_t numbers = alive->requested / 4;
		if (alive->bucket != BUCKET_OPTIMIZER || numbers < 4096 || !site ||
		    !site->dtype || strcmp(site->dtype, "float32") != 0)
			continue;
		bytes += alive->block.bytes;
		saves += alive->block.bytes - numbers - numbers / 256 * 4;
	}
	if (saves > 0)
		put(work,
		    (struct lever){
		            .lever = "8-bit optimizer",
		            .change = copy_text("an 8-bit optimizer (bitsandbytes)"),
		            .basis = format_text(
		                    "%s of float32 optimizer states; they lose "
		                    "precision",
		                    text_size(bytes).s),
		            .saves = saves,
		            .enough = suffices(work, saves),
		            .effort = 1});
}

/* Gradients of the step before that are still there while the next forward runs. */
static void stale_gradients(struct work *work)
{
	const struct oom *oom = work->oom;
	int64_t saves = 0;

	if (oom->moment.phase != PHASE_FORWARD && oom->moment.phase != PHASE_DATA)
		return;
	for (size_t i = 0; i < oom->segments.block_count; i++) {
		const struct alive *alive = &oom->segments.blocks[i];
		if (alive->bucket != BUCKET_GRADIENT)
			continue;
		if (alive->block.born_step == oom->moment.step.id)
			return; /* accumulation: they are needed */
		saves += alive->block.bytes;
	}
	if (saves > 0)
		put(work, (struct lever){
		                  .lever = "free gradients",
		                  .change = copy_text(
		                          "optimizer.zero_grad() before the forward, "
		                          "which frees them (set_to_none)"),
		                  .basis = copy_text(
		                          "gradients of the step before, alive in this "
		                          "forward"),
		                  .saves = saves,
		                  .enough = suffices(work, saves),
		                  .effort = 0});
}

/* What to end, where PyTorch's message says who has it. */
static char *others_text(const struct oom *oom)
{
	const struct processes *all = &oom->processes;
	const struct process *most = NULL;

	for (size_t i = 0; i < all->count; i++)
		if (all->of[i].pid >= 0 && (!most || all->of[i].bytes > most->bytes))
			most = &all->of[i];
	if (all->others < 0)
		return format_text("end what else is on %s (nvidia-smi lists it)",
		                   oom->moment.device->name);
	if (!most)
		return copy_text(
		        "it is this process's own, beside PyTorch: NCCL, cuDNN or "
		        "another library");
	return format_text("end process %lld, which has %s%s", (long long)most->pid,
	                   text_size(most->bytes).s,
	                   most->bytes < all->others ? ", and the others" : "");
}

static void around(struct work *work)
{
	const struct oom *oom = work->oom;
	int64_t there = oom->free > 0 ? oom->free : 0;

	if (oom->verdict == LIMIT)
		put(work, (struct lever){
		                  .lever = "raise the limit",
		                  .change = copy_text(
		                          "torch.cuda.set_per_process_memory_fraction, "
		                          "or the quota, higher"),
		                  .basis = copy_text("free on the device and refused"),
		                  .saves = there,
		                  .enough = there >= oom->forecast.growth,
		                  .effort = -1});
	if (oom->verdict == OUTSIDE || oom->excess >= (int64_t)1 << 30)
		put(work,
		    (struct lever){
		            .lever = "free the device",
		            .change = others_text(oom),
		            .basis = format_text(
		                    "outside PyTorch, less %d MiB for this process's "
		                    "own context",
		                    CONTEXT_MIB),
		            .saves = oom->excess,
		            .enough = suffices(work, oom->excess),
		            .effort = oom->verdict == OUTSIDE ? -1 : 0});
	if (!oom->segments.expandable && oom->cached > 0 &&
	    (oom->verdict == FRAGMENTATION || oom->cached >= oom->requested))
		put(work,
		    (struct lever){
		            .lever = "expandable segments",
		            .change = copy_text("PYTORCH_CUDA_ALLOC_CONF="
		                                "expandable_segments:True"),
		            .basis = copy_text(
		                    "reserved and not allocated: holes become one "
		                    "piece"),
		            .saves = oom->cached,
		            .enough = oom->verdict == FRAGMENTATION
		                              ? there + oom->cached >= oom->requested
		                              : suffices(work, oom->cached),
		            .effort = oom->verdict == FRAGMENTATION ? -1 : 0});
}

/* Where a leak is what lacks, anything else only lets it go on for a while. */
static void leak_first(const struct oom *oom, struct levers *levers)
{
	bool leaks = false;

	for (size_t i = 0; i < levers->count; i++)
		leaks = leaks || (levers->list[i].leak && levers->list[i].enough);
	for (size_t i = 0; leaks && oom->verdict == SHORTAGE && i < levers->count; i++)
		levers->list[i].enough = levers->list[i].leak;
}

static int by_use(const void *left, const void *right)
{
	const struct lever *a = left, *b = right;
	if (a->enough != b->enough)
		return a->enough ? -1 : 1;
	if (a->enough && a->effort != b->effort)
		return a->effort - b->effort;
	return a->saves > b->saves ? -1 : a->saves < b->saves;
}

void levers_make(struct trace *trace, const struct places *places,
                 const struct growth *growth, const struct oom *oom,
                 struct levers *levers)
{
	struct work work = {.trace = trace,
	                    .places = places,
	                    .growth = growth,
	                    .oom = oom,
	                    .levers = levers};

	*levers = (struct levers){0};
	measure(&work);
	around(&work);
	stop_leak(&work);
	stale_gradients(&work);
	smaller_batch(&work);
	checkpointing(&work);
	small_states(&work);
	leak_first(oom, levers);
	if (levers->count)
		qsort(levers->list, levers->count, sizeof(*levers->list), by_use);
}

void levers_free(struct levers *levers)
{
	for (size_t i = 0; i < levers->count; i++) {
		free(levers->list[i].change);
		free(levers->list[i].basis);
	}
	free(levers->list);
	*levers = (struct levers){0};
}
