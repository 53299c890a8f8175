/* levers.c - what would make a run fit, in the order in which to try it.
 * Called from: advice/, commands/. */
#include "levers.h"

#include <stdlib.h>

#include "scene.h"

const char *const mark_names[] = {"fits", "unknown", "short"};

/* What removes a fault first, unless it is seen to fall short; then what fits, then what is
 * not known, of that first what reached the end of the replay and saves more than a little; among them
 * by what they cost. */
static int order_of(const struct lever *lever)
{
	enum mark mark = lever->mark;

	if (lever->verified.ran && !lever->verified.why) /* a run knows better */
		mark = lever->verified.fits ? MARK_FITS : MARK_SHORT;
	if (lever->fault && mark != MARK_SHORT)
		return mark == MARK_FITS ? 0 : 1;
	if (mark == MARK_UNKNOWN)
		return lever->reaches && !lever->little ? 3 : lever->little ? 5 : 4;
	return mark == MARK_FITS ? 2 : 6;
}

static int by_use(const void *left, const void *right)
{
	const struct lever *a = left, *b = right;

	if (order_of(a) != order_of(b))
		return order_of(a) - order_of(b);
	if (a->cost != b->cost)
		return a->cost - b->cost;
	return a->saves > b->saves ? -1 : a->saves < b->saves;
}

void levers_sort(struct levers *levers)
{
	if (levers->count)
		qsort(levers->list, levers->count, sizeof(*levers->list), by_use);
}

/* Less than an eighth of what the best of them saves. */
static void find_little(struct levers *levers, const struct oom *oom)
{
	int64_t most = 0;

	for (size_t i = 0; i < levers->count; i++)
		if (levers->list[i].saves > most)
			most = levers->list[i].saves;
	for (size_t i = 0; i < levers->count; i++)
		levers->list[i].little =
		        oom->verdict == SHORTAGE && levers->list[i].saves < most / 8;
}

void levers_make(struct trace *trace, const struct places *places,
                 const struct growth *growth, const struct oom *oom,
                 struct levers *levers)
{
	struct scene scene;

	*levers = (struct levers){0};
	scene_load(trace, places, growth, oom, levers, &scene);
	scene_find_batch(&scene);
	scene_find_length(&scene);
	levers_kept(&scene);
	levers_stages(&scene);
	levers_faults(&scene);
	levers_turns(&scene);
	levers_room(&scene);
	levers_optimizer(&scene);
	levers_around(&scene);
	scene_free(&scene);
	find_little(levers, oom);
	levers_sort(levers);
}

void levers_free(struct levers *levers)
{
	for (size_t i = 0; i < levers->count; i++)
		lever_free(&levers->list[i]);
	free(levers->list);
	free(levers->doubt);
	free(levers->unknown);
	*levers = (struct levers){0};
}
