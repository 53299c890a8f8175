/* rules.h - what PyTorch's native caching allocator does, by its settings. */
#ifndef TIDEMARK_ANALYSIS_RULES_H
#define TIDEMARK_ANALYSIS_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "trace.h"

struct rules {
	bool expandable;
	int64_t max_split; /* max_split_size_mb in bytes; INT64_MAX: none */
	int64_t max_non_split_rounding; /* bytes */
	int roundup_divisions
	        [16];   /* roundup_power2_divisions by power of two; 0: none */
	double collect; /* garbage_collection_threshold; 0: never */
	int64_t allowed; /* bytes that the memory fraction leaves to PyTorch, of which `collect`
	                  * is a share; 0: no fraction, and nothing is collected */
	const char
	        *unknown; /* why there can be no replay: another backend, ...; NULL */
};

/* From meta 'alloc_conf' and the segments' calls. */
void rules_load(struct trace *trace, const struct device *device, struct rules *rules);

/* Other rules that the same trace may have been made with: a program may set a memory fraction of 1,
 * which reads as none, and garbage_collection_threshold then collects. total: bytes of the device.
 * false: there are none. */
bool rules_otherwise(const struct rules *rules, int64_t total, struct rules *other);

#endif
