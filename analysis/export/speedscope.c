/* speedscope.c - who held the memory at the peak, as a flame graph for speedscope.
 *
 * Source of the format: file-format-schema.json of the npm package speedscope. Two profiles a
 * device: by stack, and the same below the buckets. Weights are bytes, and add up to the peak.
 * Called from: formats.c. */
#include <stdlib.h>
#include <string.h>

#include "calls.h"
#include "export.h"
#include "heap.h"
#include "json.h"
#include "live.h"
#include "map.h"

struct sample_of {
	size_t first, count; /* in frames, innermost first */
	int64_t bytes, bucket;
};

struct scope_of {
	struct export *export;
	struct json json;
	struct map by_frame; /* index into the shared list */
	int64_t shared;
	int64_t *frames;
	size_t frame_count, frame_room;
	struct sample_of *samples; /* of all devices, in order */
	size_t sample_count, sample_room;
	size_t *ends; /* of each device */
	int64_t *unseen;
};

enum {
	BUCKET_FRAME = -2,
	NAMELESS = -3,
	UNSEEN_FRAME = -4
}; /* keys beside frames' ids */

static int64_t shared_frame(struct scope_of *scope, int64_t key, int64_t of,
                            const struct call *call, const char *name)
{
	struct json *json = &scope->json;
	int64_t index;

	if (map_find(&scope->by_frame, key, of, &index))
		return index;
	map_put(&scope->by_frame, key, of, scope->shared);
	json_object(json, NULL);
	json_text(json, "name", name ? name : call->function ? call->function : "??");
	if (call && call->file)
		json_text(json, "file", call->file);
	if (call && call->line > 0)
		json_number(json, "line", call->line);
	json_end(json);
	return scope->shared++;
}

static void add_frame(struct scope_of *scope, int64_t index)
{
	scope->frames = grow(scope->frames, scope->frame_count, &scope->frame_room,
	                     sizeof(*scope->frames));
	scope->frames[scope->frame_count++] = index;
}

static void add_sample(struct scope_of *scope, const struct site *site, int64_t bytes,
                       int64_t bucket)
{
	struct sample_of sample = {scope->frame_count, 0, bytes, bucket};
	size_t count;
	struct call *calls = calls_load(scope->export->trace, site, &count);

	for (size_t i = 0; i < count; i++)
		add_frame(scope, shared_frame(scope, calls[i].id, 0, &calls[i], NULL));
	if (!count) {
		const char *name = site && site->op ? site->op : "no stack";
		add_frame(scope, shared_frame(scope, NAMELESS, site ? site->id : -1,
		                              NULL, name));
	}
	calls_free(calls, count);
	sample.count = scope->frame_count - sample.first;
	scope->samples = grow(scope->samples, scope->sample_count, &scope->sample_room,
	                      sizeof(*scope->samples));
	scope->samples[scope->sample_count++] = sample;
}

static void read_device(struct scope_of *scope, size_t d)
{
	struct trace *trace = scope->export->trace;
	const struct device *device = &scope->export->devices[d];
	struct places places;
	struct point point;
	struct step step;
	struct live live;

	if (trace_peak(trace, device->id, scope->export->step, &point)) {
		step = trace_step(trace, point.step);
		places_load(trace, device->name, &places);
		live_at(trace, &places, device->id, &step, point.ordinal, &live);
		for (size_t i = 0; i < live.count; i++)
			add_sample(scope, places_site(&places, live.sums[i].site),
			           live.sums[i].bytes, live.sums[i].bucket);
		scope->unseen[d] = point.allocated - live.bytes;
		live_free(&live);
		places_free(&places);
	}
	scope->ends[d] = scope->sample_count;
}

static void write_sample(struct scope_of *scope, const struct sample_of *sample,
                         bool buckets)
{
	struct json *json = &scope->json;
	int64_t bucket = -1;

	json_array(json, NULL);
	if (buckets &&
	    map_find(&scope->by_frame, BUCKET_FRAME, sample->bucket, &bucket))
		json_number(json, NULL, bucket);
	for (size_t i = sample->count; i-- > 0;)
		json_number(json, NULL, scope->frames[sample->first + i]);
	json_end(json);
	scope->export->events++;
}

static void write_profile(struct scope_of *scope, size_t d, bool buckets)
{
	struct json *json = &scope->json;
	size_t first = d ? scope->ends[d - 1] : 0;
	int64_t total = scope->unseen[d] > 0 ? scope->unseen[d] : 0, unseen;
	char *name =
	        format_text("%s at its peak, by %s", scope->export->devices[d].name,
	                    buckets ? "bucket and stack" : "stack");

	for (size_t i = first; i < scope->ends[d]; i++)
		total += scope->samples[i].bytes;
	json_object(json, NULL);
	json_text(json, "type", "sampled");
	json_text(json, "name", name);
	json_text(json, "unit", "bytes");
	json_number(json, "startValue", 0);
	json_number(json, "endValue", total);
	json_array(json, "samples");
	for (size_t i = first; i < scope->ends[d]; i++)
		write_sample(scope, &scope->samples[i], buckets);
	if (scope->unseen[d] > 0 &&
	    map_find(&scope->by_frame, UNSEEN_FRAME, 0, &unseen)) {
		json_array(json, NULL);
		json_number(json, NULL, unseen);
		json_end(json);
	}
	json_end(json);
	json_array(json, "weights");
	for (size_t i = first; i < scope->ends[d]; i++)
		json_number(json, NULL, scope->samples[i].bytes);
	if (scope->unseen[d] > 0)
		json_number(json, NULL, scope->unseen[d]);
	json_end(json);
	json_end(json);
	free(name);
}

static void write_shared(struct scope_of *scope)
{
	struct export *export = scope->export;

	json_object(&scope->json, "shared");
	json_array(&scope->json, "frames");
	for (size_t d = 0; d < export->device_count; d++)
		read_device(scope, d);
	for (size_t i = 0; i < scope->sample_count; i++)
		shared_frame(scope, BUCKET_FRAME, scope->samples[i].bucket, NULL,
		             trace_bucket(export->trace, scope->samples[i].bucket));
	for (size_t d = 0; d < export->device_count; d++)
		if (scope->unseen[d] > 0)
			shared_frame(scope, UNSEEN_FRAME, 0, NULL, "not recorded");
	json_end(&scope->json);
	json_end(&scope->json);
}

void export_speedscope(struct export *export)
{
	struct scope_of scope = {.export = export};

	scope.ends = allocate((export->device_count + 1) * sizeof(*scope.ends));
	scope.unseen = allocate((export->device_count + 1) * sizeof(*scope.unseen));
	json_begin(&scope.json, export->out);
	json_text(&scope.json, "$schema",
	          "https://www.speedscope.app/file-format-schema.json");
	json_text(&scope.json, "exporter", "tidemark " TIDEMARK_VERSION);
	json_text(&scope.json, "name", export->trace->name);
	json_number(&scope.json, "activeProfileIndex", 0);
	write_shared(&scope);
	json_array(&scope.json, "profiles");
	for (size_t d = 0; d < export->device_count; d++) {
		write_profile(&scope, d, false);
		write_profile(&scope, d, true);
		export->unseen += scope.unseen[d];
	}
	json_end(&scope.json);
	json_end(&scope.json);
	export->events /= 2; /* each stack stands in both */
	map_free(&scope.by_frame);
	free(scope.frames);
	free(scope.samples);
	free(scope.ends);
	free(scope.unseen);
}
