/* map.h - numbers by pairs of numbers: what has been written already, and where. */
#ifndef TIDEMARK_ANALYSIS_MAP_H
#define TIDEMARK_ANALYSIS_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map {
	struct map_slot {
		int64_t first, second, value;
		bool used;
	} * slots;
	size_t room, count;
};

/* false: the pair has no number. */
bool map_find(const struct map *map, int64_t first, int64_t second, int64_t *value);
void map_put(struct map *map, int64_t first, int64_t second, int64_t value);
void map_free(struct map *map);

#endif
