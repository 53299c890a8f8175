/* map.c - numbers by pairs of numbers, in an open hash table that grows.
 * Called from: export/, import/, trace/. */
#include "map.h"

#include <stdlib.h>

#include "heap.h"

static struct map_slot *slot(const struct map *map, int64_t first, int64_t second)
{
	uint64_t key = ((uint64_t)first * 31 + (uint64_t)second) * 0x9e3779b97f4a7c15u;
	size_t at = (size_t)(key >> 20) & (map->room - 1);

	while (map->slots[at].used &&
	       (map->slots[at].first != first || map->slots[at].second != second))
		at = (at + 1) & (map->room - 1);
	return &map->slots[at];
}

bool map_find(const struct map *map, int64_t first, int64_t second, int64_t *value)
{
	const struct map_slot *found;

	if (!map->count)
		return false;
	found = slot(map, first, second);
	if (found->used)
		*value = found->value;
	return found->used;
}

static void widen(struct map *map)
{
	struct map old = *map;

	map->room = old.room ? 2 * old.room : 256;
	map->slots = allocate(map->room * sizeof(*map->slots));
	for (size_t i = 0; i < old.room; i++)
		if (old.slots[i].used)
			*slot(map, old.slots[i].first, old.slots[i].second) =
			        old.slots[i];
	free(old.slots);
}

void map_put(struct map *map, int64_t first, int64_t second, int64_t value)
{
	struct map_slot *place;

	if (2 * (map->count + 1) > map->room)
		widen(map);
	place = slot(map, first, second);
	map->count += !place->used;
	*place = (struct map_slot){first, second, value, true};
}

void map_free(struct map *map)
{
	free(map->slots);
	*map = (struct map){0};
}
