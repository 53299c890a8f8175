/* account.c - every byte of a device in use at one instant, by bucket.
 * Called from: commands/buckets.c. */
#include "account.h"

#include <stdlib.h>

#include "heap.h"

enum { RULES = 256 };

static void count_blocks(struct account *account)
{
	int64_t(*by_rule)[RULES] = allocate(BUCKETS * sizeof(*by_rule));

	for (int b = 0; b < BUCKETS; b++)
		account->of[b].rule = -1;
	for (size_t i = 0; i < account->segments.block_count; i++) {
		const struct alive *alive = &account->segments.blocks[i];
		struct entry *entry;
		if (alive->bucket < 0 || alive->bucket >= BUCKETS)
			continue;
		entry = &account->of[alive->bucket];
		entry->bytes += alive->block.bytes;
		entry->blocks++;
		if (alive->requested >= 0)
			entry->rounding += alive->block.bytes - alive->requested;
		if (alive->rule < 0 || alive->rule >= RULES)
			continue;
		by_rule[alive->bucket][alive->rule] += alive->block.bytes;
		if (by_rule[alive->bucket][alive->rule] > entry->rule_bytes) {
			entry->rule = alive->rule;
			entry->rule_bytes = by_rule[alive->bucket][alive->rule];
		}
	}
	free(by_rule);
}

void account_make(struct trace *trace, const struct moment *moment,
                  struct account *account)
{
	const struct segments *segments = &account->segments;

	*account = (struct account){.moment = *moment, .cache = -1, .context = -1};
	places_load(trace, moment->device->name, &account->places);
	segments_load(trace, moment, &account->segments);
	live_at(trace, &account->places, moment->device->id, &moment->step,
	        moment->ordinal, &account->live);
	maxima_load(trace, moment->device->id, &account->maxima);
	count_blocks(account);
	account->unseen = moment->allocated - account->live.bytes;
	account->unseen_name = moment->step.thinned  ? "thinned away"
	                       : account->unseen < 0 ? "freed unseen"
	                                             : "before tracing";
	if (moment->reserved >= 0)
		account->cache = moment->reserved - moment->allocated;
	if (moment->used >= 0 && moment->reserved >= 0)
		account->context = moment->used - moment->reserved;
	account->split = segments->state == SEGMENTS_EXACT &&
	                 segments->free_whole + segments->free_split == account->cache;
}

void account_free(struct account *account)
{
	live_free(&account->live);
	segments_free(&account->segments);
	places_free(&account->places);
}
