/* build_private.h - what build.c counts, and steps.c writes when a step ends. */
#ifndef TIDEMARK_ANALYSIS_BUILD_PRIVATE_H
#define TIDEMARK_ANALYSIS_BUILD_PRIVATE_H

#include <stddef.h>

#include "build.h"
#include "db.h"
#include "map.h"
#include "schema_ids.h"

enum phase_number {
#define X(id, number, name) PHASE_##id = number,
	SCHEMA_PHASES(X)
#undef X
};

/* A snapshot without categories has blocks that are in none of the schema's buckets: such a trace
 * has one more in its table. */
enum { BUILD_PHASES = 16, BUILD_UNKNOWN = 11, BUILD_BUCKETS };

enum statement {
	FRAME,
	STACK,
	SITE,
	DEVICE,
	BLOCK,
	FREED,
	SEGMENT,
	GIVEN,
	SAMPLE,
	REFUSED,
	STEP,
	STEP_DEVICE,
	STEP_PHASE,
	STEP_BUCKET,
	SPAN,
	STATEMENTS
};

struct held {
	int64_t bytes;
	int32_t device;
	int8_t bucket;
	bool alive;
};

/* Of one device; all but the first four are of the step that goes on. */
struct gauge {
	bool known;
	int64_t allocated, reserved, buckets[BUILD_BUCKETS];
	int64_t start, peak, peak_reserved, peak_at, peak_ns, peak_phase;
	int64_t start_buckets[BUILD_BUCKETS];
	int64_t events[BUILD_PHASES], high[BUILD_PHASES];
	int64_t most[BUILD_PHASES][BUILD_BUCKETS];
};

struct build {
	struct db *db;
	struct rows *put[STATEMENTS];
	struct gauge gauges[BUILD_DEVICES];
	struct map sites;
	int64_t frames, stacks, site_count, blocks, segments, unknown;
	struct held *held, *areas; /* blocks and segments by number, from 0 */
	size_t held_room, area_room;
	int64_t step, step_ns, ordinal, phase, spans, first_block, latest_ns, complete;
	bool stepped; /* an optimizer was in the step that goes on */
};

#endif
