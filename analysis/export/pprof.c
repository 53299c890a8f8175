/* pprof.c - a trace as a heap profile, for pprof and what reads its format.
 *
 * Source of the format: github.com/google/pprof, proto/profile.proto. A sample is a stack in one
 * bucket and phase on one device: what was made there in all, and what of it was in use at the
 * peak. inuse_space adds up to the peak.
 * Called from: formats.c. */
#include <stdlib.h>
#include <string.h>

#include "calls.h"
#include "export.h"
#include "export_queries.h"
#include "gzip.h"
#include "heap.h"
#include "live.h"
#include "map.h"
#include "protobuf.h"

enum { /* fields */
       PROFILE_SAMPLE_TYPE = 1,
       PROFILE_SAMPLE = 2,
       PROFILE_LOCATION = 4,
       PROFILE_FUNCTION = 5,
       PROFILE_STRING = 6,
       PROFILE_TIME = 9,
       PROFILE_DURATION = 10,
       PROFILE_COMMENT = 13,
       PROFILE_DEFAULT = 14,
       TYPE_TYPE = 1,
       TYPE_UNIT = 2,
       SAMPLE_LOCATION = 1,
       SAMPLE_VALUE = 2,
       SAMPLE_LABEL = 3,
       LABEL_KEY = 1,
       LABEL_TEXT = 2,
       LOCATION_ID = 1,
       LOCATION_LINE = 4,
       LINE_FUNCTION = 1,
       LINE_LINE = 2,
       FUNCTION_ID = 1,
       FUNCTION_NAME = 2,
       FUNCTION_SYSTEM_NAME = 3,
       FUNCTION_FILE = 4,
};

enum value { ALLOC_OBJECTS, ALLOC_SPACE, INUSE_OBJECTS, INUSE_SPACE, VALUES };

struct sums {
	int64_t site, bucket, value[VALUES];
};

struct pprof {
	struct export *export;
	struct message profile, inner, label;
	struct places places;
	char **texts; /* the string table; the first is "" */
	size_t text_count, text_room;
	size_t *slots, slot_count; /* indices into texts plus one, an open hash table */
	struct map locations;      /* by frame */
	int64_t location_count;
	struct map by_place; /* index into sums */
	struct sums *sums;
	size_t sum_count, sum_room;
};

static size_t *text_slot(struct pprof *pprof, const char *text)
{
	size_t hash = 5381;

	for (const char *c = text; *c; c++)
		hash = hash * 33 + (unsigned char)*c;
	hash &= pprof->slot_count - 1;
	while (pprof->slots[hash] &&
	       strcmp(pprof->texts[pprof->slots[hash] - 1], text) != 0)
		hash = (hash + 1) & (pprof->slot_count - 1);
	return &pprof->slots[hash];
}

static void widen(struct pprof *pprof)
{
	free(pprof->slots);
	pprof->slot_count = pprof->slot_count ? 2 * pprof->slot_count : 1024;
	pprof->slots = allocate(pprof->slot_count * sizeof(*pprof->slots));
	for (size_t i = 0; i < pprof->text_count; i++)
		*text_slot(pprof, pprof->texts[i]) = i + 1;
}

/* The number of a text in the string table. */
static int64_t text_of(struct pprof *pprof, const char *text)
{
	size_t *slot;

	if (2 * (pprof->text_count + 1) > pprof->slot_count)
		widen(pprof);
	slot = text_slot(pprof, text);
	if (!*slot) {
		pprof->texts = grow(pprof->texts, pprof->text_count, &pprof->text_room,
		                    sizeof(*pprof->texts));
		pprof->texts[pprof->text_count++] = copy_text(text);
		*slot = pprof->text_count;
	}
	return (int64_t)*slot - 1;
}

static struct sums *sums_of(struct pprof *pprof, int64_t site, int64_t bucket)
{
	int64_t index;

	if (!map_find(&pprof->by_place, site, bucket, &index)) {
		index = (int64_t)pprof->sum_count;
		map_put(&pprof->by_place, site, bucket, index);
		pprof->sums = grow(pprof->sums, pprof->sum_count, &pprof->sum_room,
		                   sizeof(*pprof->sums));
		pprof->sums[pprof->sum_count++] =
		        (struct sums){.site = site, .bucket = bucket};
	}
	return &pprof->sums[index];
}

/* A location has one function, of the same number: a line of code in it. */
static int64_t location(struct pprof *pprof, const struct call *call)
{
	int64_t id;

	if (map_find(&pprof->locations, call->id, 0, &id))
		return id;
	id = ++pprof->location_count;
	map_put(&pprof->locations, call->id, 0, id);
	message_empty(&pprof->inner);
	message_number(&pprof->inner, FUNCTION_ID, id);
	message_number(&pprof->inner, FUNCTION_NAME,
	               text_of(pprof, call->function ? call->function : "??"));
	message_number(&pprof->inner, FUNCTION_SYSTEM_NAME,
	               text_of(pprof, call->function ? call->function : "??"));
	message_number(&pprof->inner, FUNCTION_FILE,
	               text_of(pprof, call->file ? call->file : ""));
	message_inside(&pprof->profile, PROFILE_FUNCTION, &pprof->inner);
	message_empty(&pprof->label);
	message_number(&pprof->label, LINE_FUNCTION, id);
	message_number(&pprof->label, LINE_LINE, call->line);
	message_empty(&pprof->inner);
	message_number(&pprof->inner, LOCATION_ID, id);
	message_inside(&pprof->inner, LOCATION_LINE, &pprof->label);
	message_inside(&pprof->profile, PROFILE_LOCATION, &pprof->inner);
	return id;
}

static void label(struct pprof *pprof, const char *key, const char *text)
{
	if (!text)
		return;
	message_empty(&pprof->label);
	message_number(&pprof->label, LABEL_KEY, text_of(pprof, key));
	message_number(&pprof->label, LABEL_TEXT, text_of(pprof, text));
	message_inside(&pprof->inner, SAMPLE_LABEL, &pprof->label);
}

/* site NULL: of blocks that were not recorded. */
static void sample(struct pprof *pprof, const char *device, const struct site *site,
                   const char *bucket, const int64_t value[VALUES])
{
	struct trace *trace = pprof->export->trace;
	size_t count;
	struct call *calls = calls_load(trace, site, &count);
	/* What has no stack stands under its operator. */
	const char *instead = !site ? "not recorded" : site->op ? site->op : "no stack";
	struct call alone = {.id = site ? -2 - site->id : -1,
	                     .function = (char *)instead};
	int64_t *locations = allocate((count + 1) * sizeof(*locations));

	for (size_t i = 0; i < count; i++)
		locations[i] = location(pprof, &calls[i]);
	if (!count)
		locations[0] = location(pprof, &alone);
	message_empty(&pprof->inner);
	message_numbers(&pprof->inner, SAMPLE_LOCATION, locations, count ? count : 1);
	message_numbers(&pprof->inner, SAMPLE_VALUE, value, VALUES);
	label(pprof, "device", device);
	label(pprof, "bucket", bucket);
	label(pprof, "phase", site ? trace_phase(trace, site->phase) : NULL);
	label(pprof, "module", site ? site->module : NULL);
	label(pprof, "op", site ? site->op : NULL);
	message_inside(&pprof->profile, PROFILE_SAMPLE, &pprof->inner);
	pprof->export->events++;
	calls_free(calls, count);
	free(locations);
}

static void read_made(struct pprof *pprof, const struct device *device)
{
	struct rows *rows = db_rows(pprof->export->trace->db, sql_made, "iii",
	                            device->id, pprof->export->from, pprof->export->to);

	while (rows_next(rows)) {
		struct sums *sums =
		        sums_of(pprof, rows_number(rows, 0), rows_number(rows, 1));
		sums->value[ALLOC_OBJECTS] += rows_number(rows, 2);
		sums->value[ALLOC_SPACE] += rows_number(rows, 3);
	}
}

/* What was in use at the device's peak; returns the bytes that no row explains. */
static int64_t read_peak(struct pprof *pprof, const struct device *device)
{
	struct trace *trace = pprof->export->trace;
	struct point point;
	struct step step;
	struct live live;
	int64_t unseen;

	if (!trace_peak(trace, device->id, pprof->export->step, &point))
		return 0;
	step = trace_step(trace, point.step);
	live_at(trace, &pprof->places, device->id, &step, point.ordinal, &live);
	for (size_t i = 0; i < live.count; i++) {
		struct sums *sums =
		        sums_of(pprof, live.sums[i].site, live.sums[i].bucket);
		sums->value[INUSE_OBJECTS] += live.sums[i].blocks;
		sums->value[INUSE_SPACE] += live.sums[i].bytes;
	}
	unseen = point.allocated - live.bytes;
	live_free(&live);
	return unseen;
}

static void write_device(struct pprof *pprof, const struct device *device)
{
	int64_t unseen;

	places_load(pprof->export->trace, device->name, &pprof->places);
	read_made(pprof, device);
	unseen = read_peak(pprof, device);
	for (size_t i = 0; i < pprof->sum_count; i++)
		sample(pprof, device->name,
		       places_site(&pprof->places, pprof->sums[i].site),
		       trace_bucket(pprof->export->trace, pprof->sums[i].bucket),
		       pprof->sums[i].value);
	if (unseen > 0)
		sample(pprof, device->name, NULL, NULL,
		       (int64_t[VALUES]){0, 0, 0, unseen});
	pprof->export->unseen += unseen;
	pprof->sum_count = 0;
	map_free(&pprof->by_place);
	places_free(&pprof->places);
}

static void write_types(struct pprof *pprof)
{
	static const char *const types[VALUES][2] = {{"alloc_objects", "count"},
	                                             {"alloc_space", "bytes"},
	                                             {"inuse_objects", "count"},
	                                             {"inuse_space", "bytes"}};

	for (int i = 0; i < VALUES; i++) {
		message_empty(&pprof->inner);
		message_number(&pprof->inner, TYPE_TYPE, text_of(pprof, types[i][0]));
		message_number(&pprof->inner, TYPE_UNIT, text_of(pprof, types[i][1]));
		message_inside(&pprof->profile, PROFILE_SAMPLE_TYPE, &pprof->inner);
	}
}

static void write_run(struct pprof *pprof)
{
	struct db *db = pprof->export->trace->db;
	char *command = rows_first_text(db_rows(db, "SELECT command FROM run", ""));

	message_number(&pprof->profile, PROFILE_TIME,
	               db_number(db, 0, "SELECT started_unix_ns FROM run"));
	message_number(&pprof->profile, PROFILE_DURATION,
	               db_number(db, 0, "SELECT ended_ns FROM run"));
	if (command)
		message_number(&pprof->profile, PROFILE_COMMENT,
		               text_of(pprof, command));
	message_number(&pprof->profile, PROFILE_DEFAULT, text_of(pprof, "inuse_space"));
	free(command);
}

void export_pprof(struct export *export)
{
	struct pprof pprof = {.export = export};

	text_of(&pprof, "");
	write_types(&pprof);
	for (size_t d = 0; d < export->device_count; d++)
		write_device(&pprof, &export->devices[d]);
	write_run(&pprof);
	for (size_t i = 0; i < pprof.text_count; i++) {
		message_text(&pprof.profile, PROFILE_STRING, pprof.texts[i]);
		free(pprof.texts[i]);
	}
	gzip_store(export->out, pprof.profile.bytes, pprof.profile.length);
	message_free(&pprof.profile);
	message_free(&pprof.inner);
	message_free(&pprof.label);
	map_free(&pprof.locations);
	free(pprof.texts);
	free(pprof.slots);
	free(pprof.sums);
}
