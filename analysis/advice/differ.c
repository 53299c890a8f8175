/* differ.c - what was different in a step that ran out of memory.
 * Called from: oom_screen.c. */
#include "differ.h"

#include <stdlib.h>
#include <string.h>

#include "heap.h"

struct differing {
	struct live live;
	struct groups here, there;
};

enum { ALIKE = BY_BUCKET | BY_MODULE | BY_OP | BY_PATTERN };

static bool equal(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

static const struct group *twin(const struct groups *groups, const struct group *group)
{
	for (size_t i = 0; i < groups->count; i++) {
		const struct group *other = &groups->groups[i];
		if (equal(other->bucket, group->bucket) &&
		    equal(other->module, group->module) && equal(other->op, group->op))
			return other;
	}
	return NULL;
}

static int by_size(const void *left, const void *right)
{
	int64_t a = llabs(((const struct difference *)left)->bytes);
	int64_t b = llabs(((const struct difference *)right)->bytes);
	return a > b ? -1 : a < b;
}

static void put(struct differences *differences, struct difference difference)
{
	if (difference.bytes)
		differences->list[differences->count++] = difference;
}

void differences_make(struct trace *trace, const struct places *places,
                      const struct oom *oom, struct differences *differences)
{
	struct differing *storage;
	struct step step;

	*differences = (struct differences){0};
	if (oom->forecast.step < 0)
		return;
	step = trace_step(trace, oom->forecast.step);
	storage = differences->storage = allocate(sizeof(*storage));
	live_at(trace, places, oom->moment.device->id, &step, oom->forecast.ordinal - 1,
	        &storage->live);
	groups_make(trace, places, &oom->live, ALIKE, &storage->here);
	groups_make(trace, places, &storage->live, ALIKE, &storage->there);
	differences->allocated = oom->forecast.before;
	differences->list = allocate((storage->here.count + storage->there.count) *
	                             sizeof(*differences->list));
	for (size_t i = 0; i < storage->here.count; i++) {
		const struct group *here = &storage->here.groups[i];
		const struct group *there = twin(&storage->there, here);
		put(differences,
		    (struct difference){.bytes = here->bytes -
		                                 (there ? there->bytes : 0),
		                        .here = here,
		                        .there = there});
	}
	for (size_t i = 0; i < storage->there.count; i++) {
		const struct group *there = &storage->there.groups[i];
		if (!twin(&storage->here, there))
			put(differences, (struct difference){.bytes = -there->bytes,
			                                     .there = there});
	}
	if (differences->count)
		qsort(differences->list, differences->count, sizeof(*differences->list),
		      by_size);
}

void differences_free(struct differences *differences)
{
	if (differences->storage) {
		live_free(&differences->storage->live);
		groups_free(&differences->storage->here);
		groups_free(&differences->storage->there);
	}
	free(differences->storage);
	free(differences->list);
	*differences = (struct differences){0};
}
