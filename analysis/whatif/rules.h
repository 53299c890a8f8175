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
	const char
	        *unknown; /* why there can be no replay: another backend, ...; NULL */
};

/* From meta 'alloc_conf' and the segments' calls. */
void rules_load(struct trace *trace, const struct device *device, struct rules *rules);

#endif
