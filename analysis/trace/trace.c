/* trace.c - a trace as the commands see it: its file, devices, steps and peaks.
 * Called from: advice/, answers/, commands/, compare/, export/, job/, live/,
 *     measure/, page/, plan/, recognise/, reconcile/, run/, trace/, whatif/. */
#include "trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>

#include "fail.h"
#include "file.h"
#include "heap.h"
#include "library.h"
#include "scratch.h"
#include "template.h"
#include "trace_queries.h"

/* The file to read: the one that is named; of a name with %h, %p or %r the newest that it has
 * become; without a name the newest in this folder. */
static char *name_or_fail(const char *path)
{
	const bool named = path && (!template_is(path) || !access(path, F_OK));
	char *pattern, *name;

	if (named)
		return copy_text(path);
	pattern = path ? template_glob(path, false) : copy_text("tidemark-*.db");
	name = template_newest(pattern);
	if (!name && path)
		fail(STATUS_UNREADABLE, "there is no file '%s'", pattern);
	if (!name)
		fail(STATUS_UNREADABLE, "there is no file 'tidemark-*.db' in this "
		                        "folder; name a trace, or "
		                        "make one with 'tidemark run -- CMD'");
	note("reading '%s'", name);
	free(pattern);
	return name;
}

static struct db *open_or_fail(const char *path)
{
	char why[1024];
	struct db *db = file_open(path, why, sizeof(why));
	if (!db)
		fail(STATUS_UNREADABLE, "%s", why);
	return db;
}

/* Has the recorder's part to look at it, which finishes what a killed run, or a killed
 * reader, left. Afterwards trace->path is the file itself or a completed copy of it, or
 * trace->missing says what is not in it. */
static void finish(struct trace *trace)
{
	char why[512] = "";
	char *library = library_find(why, sizeof(why));
	enum recovery rc = NOT_RECOVERED;

	if (library)
		rc = library_recover(library, trace->name, NULL, why, sizeof(why));
	if (library && rc != RECOVERED && rc != NOTHING_LEFT) {
		/* The run goes on, or the file can't be written: look at a copy. */
		char *copy = scratch_path();
		trace->running = rc == STILL_RUNNING;
		trace->perhaps_running = rc == PERHAPS_RUNNING;
		if (copy)
			rc = library_recover(library, trace->name, copy, why,
			                     sizeof(why));
		if (copy && rc == RECOVERED) {
			free(trace->path);
			trace->path = copy;
		} else {
			free(copy);
		}
	}
	free(library);
	if (rc == RECOVERED || rc == NOTHING_LEFT)
		return;
	trace->missing = copy_text(why);
	warn("the last events of this run are missing: %s", why);
}

static bool beside(const char *path, const char *suffix)
{
	char *name = format_text("%s%s", path, suffix);
	bool there = access(name, F_OK) == 0;
	free(name);
	return there;
}

/* Has the run ended, and was everything tidied up after it? Asked of the trace itself only
 * where no ring lies beside it: a run that was killed at once has left a ring, and a trace
 * without tables. */
static bool is_whole(struct trace *trace)
{
	char why[1024];
	bool whole;

	if (beside(trace->path, "-ring") || beside(trace->path, "-wal"))
		return false;
	trace->db = file_open(trace->path, why, sizeof(why));
	if (!trace->db && beside(trace->path, "-journal"))
		return false;
	if (!trace->db)
		fail(STATUS_UNREADABLE, "%s", why);
	whole = db_number(trace->db, 0, "SELECT ring IS NULL FROM run") &&
	        !beside(trace->path, "-journal");
	/* Our snapshot would keep the library from finishing the file. */
	if (!whole)
		db_close(trace->db);
	return whole;
}

/* The ring holds what the recorder had not put into the file yet. */
static void open_complete(struct trace *trace)
{
	if (is_whole(trace))
		return;
	finish(trace);
	if (trace->running)
		note("still running: as of now");
	if (trace->perhaps_running)
		note("as of now: from here it cannot be told whether the run goes on");
	trace->db = open_or_fail(trace->path);
}

static void read_names(struct db *db, const char *sql, char **names, int room)
{
	struct rows *rows = db_rows(db, sql, "");
	while (rows_next(rows)) {
		int64_t id = rows_number(rows, 0);
		if (id >= 0 && id < room)
			names[id] = rows_copy(rows, 1);
	}
}

static void read_devices(struct trace *trace)
{
	size_t room = 0;
	struct rows *rows =
	        db_rows(trace->db,
	                "SELECT id, name, product, total_bytes FROM device WHERE id IN "
	                "(SELECT device FROM step_device) ORDER BY kind = 'cpu', id",
	                "");
	while (rows_next(rows)) {
		trace->devices = grow(trace->devices, trace->device_count, &room,
		                      sizeof(*trace->devices));
		trace->devices[trace->device_count++] =
		        (struct device){.id = rows_number(rows, 0),
		                        .total_bytes = rows_number_or(rows, 3, -1),
		                        .name = rows_copy(rows, 1),
		                        .product = rows_copy(rows, 2)};
	}
}

/* Lists have a place for each step up to the last: a damaged number must not say how many. */
static void check_steps(struct trace *trace)
{
	enum { MISSING = 1 << 16 };
	struct rows *rows =
	        db_rows(trace->db, "SELECT min(id), max(id), count(*) FROM step", "");
	if (!rows_next(rows))
		return;
	int64_t first = rows_number(rows, 0), last = rows_number(rows, 1);
	int64_t count = rows_number(rows, 2);
	rows_free(rows);
	if (first < 0 || last > count + MISSING)
		fail(STATUS_UNREADABLE,
		     "cannot read '%s': it is damaged, its %lld steps are numbered "
		     "from %lld to %lld",
		     trace->name, (long long)count, (long long)first, (long long)last);
}

static void read_tables(struct trace *trace)
{
	db_define(trace->db, sql_views);
	read_names(trace->db, "SELECT id, name FROM phase", trace->phases, PHASES);
	read_names(trace->db, "SELECT id, name FROM bucket", trace->buckets, BUCKETS);
	read_devices(trace);
	check_steps(trace);
	trace->model =
	        rows_first_text(db_rows(trace->db, "SELECT model_class FROM run", ""));
	trace->simulated = db_number(trace->db, 0, "SELECT simulated FROM run") == 1;
}

void trace_ended(struct trace *trace)
{
	enum { FEW = 16 };

	if (++trace->steps_asked == FEW)
		db_define(trace->db, sql_endings);
}

struct trace *trace_open(const char *path)
{
	struct trace *trace = allocate(sizeof(*trace));

	trace->name = name_or_fail(path);
	trace->path = copy_text(trace->name);
	open_complete(trace);
	read_tables(trace);
	return trace;
}

struct trace *trace_peek(const char *path, char *why, size_t size)
{
	struct db *db = file_open(path, why, size);
	struct trace *trace;

	if (!db)
		return NULL;
	trace = allocate(sizeof(*trace));
	trace->name = copy_text(path);
	trace->path = copy_text(path);
	trace->db = db;
	trace->running = true; /* trace_close() leaves it as it is */
	read_tables(trace);
	return trace;
}

void trace_close(struct trace *trace)
{
	db_close(trace->db);
	/* Another reader that finished the trace meanwhile could not tidy up beside it. What
	 * could not be finished was said when it was opened. */
	if (!trace->running && !trace->perhaps_running && !trace->missing &&
	    beside(trace->name, "-wal"))
		finish(trace);
	free(trace->missing);
	for (int i = 0; i < PHASES; i++)
		free(trace->phases[i]);
	for (int i = 0; i < BUCKETS; i++)
		free(trace->buckets[i]);
	for (size_t i = 0; i < trace->device_count; i++) {
		free(trace->devices[i].name);
		free(trace->devices[i].product);
	}
	free(trace->devices);
	free(trace->model);
	free(trace->said.frames);
	free(trace->said.place);
	free(trace->path);
	free(trace->name);
	free(trace);
}

struct device *trace_devices(struct trace *trace, const char *wish, size_t *count)
{
	char names[256] = "";

	*count = trace->device_count;
	if (!wish)
		return trace->devices;
	*count = 1;
	for (size_t i = 0; i < trace->device_count; i++) {
		size_t used = strlen(names);
		if (!strcmp(wish, trace->devices[i].name))
			return &trace->devices[i];
		snprintf(names + used, sizeof(names) - used, "%s%s", used ? ", " : "",
		         trace->devices[i].name);
	}
	fail(STATUS_USAGE, "this trace has no device '%s'; it has %s", wish,
	     *names ? names : "none");
}

static struct step read_step(struct rows *rows)
{
	return (struct step){.pattern = rows_number(rows, 0),
	                     .start_ns = rows_number(rows, 1),
	                     .end_ns = rows_number(rows, 2),
	                     .events = rows_number(rows, 3),
	                     .micro_steps = rows_number(rows, 4),
	                     .pattern_start_ns = rows_number(rows, 5),
	                     .pattern_end_ns = rows_number(rows, 6),
	                     .first = rows_number_or(rows, 7, 1),
	                     .last = rows_number_or(rows, 8, 0),
	                     .complete = rows_number(rows, 9),
	                     .thinned = rows_number(rows, 10),
	                     .id = rows_number(rows, 11)};
}

struct step trace_step(struct trace *trace, int64_t id)
{
	struct rows *rows = db_rows(trace->db, sql_step, "i", id);
	struct step step;

	if (!rows_next(rows))
		fail(STATUS_USAGE, "this trace has no step %lld; the last one is %lld",
		     (long long)id,
		     (long long)db_number(trace->db, 0, "SELECT max(id) FROM step"));
	step = read_step(rows);
	rows_free(rows);
	return step;
}

void trace_each_step(struct trace *trace, trace_step_visit *visit, void *context)
{
	struct rows *rows = db_rows(trace->db, sql_every_step, "");

	while (rows_next(rows)) {
		struct step step = read_step(rows);
		visit(context, &step);
	}
}

bool trace_peak(struct trace *trace, int64_t device, int64_t step, struct point *point)
{
	struct rows *rows = db_rows(trace->db, sql_peak, "ii", device, step);
	if (!rows_next(rows))
		return false;
	*point = (struct point){.step = rows_number(rows, 0),
	                        .ordinal = rows_number(rows, 1),
	                        .time_ns = rows_number(rows, 2),
	                        .phase = rows_number(rows, 3),
	                        .allocated = rows_number(rows, 4),
	                        .reserved_peak = rows_number(rows, 5)};
	rows_free(rows);
	return true;
}

const struct device *trace_highest(struct trace *trace, const struct device *devices,
                                   size_t count, int64_t step, struct point *point)
{
	const struct device *best = NULL;

	for (size_t i = 0; i < count; i++) {
		struct point other;
		if (!trace_peak(trace, devices[i].id, step, &other))
			continue;
		if (best && other.allocated <= point->allocated)
			continue;
		best = &devices[i];
		*point = other;
	}
	return best;
}

struct sample trace_sample(struct trace *trace, int64_t device,
                           const struct point *point)
{
	struct sample sample = {.reserved = -1, .device_used = -1};
	struct rows *rows = db_rows(trace->db, sql_samples, "iii", device, point->step,
	                            point->ordinal < 0 ? 0 : point->ordinal);
	while (rows_next(rows)) {
		if (sample.reserved < 0)
			sample.reserved = rows_number_or(rows, 0, -1);
		if (sample.device_used < 0)
			sample.device_used = rows_number_or(rows, 1, -1);
		if (sample.reserved >= 0 && sample.device_used >= 0) {
			rows_free(rows);
			break;
		}
	}
	return sample;
}

const char *trace_phase(const struct trace *trace, int64_t phase)
{
	return phase >= 0 && phase < PHASES && trace->phases[phase]
	               ? trace->phases[phase]
	               : "other";
}

const char *trace_bucket(const struct trace *trace, int64_t bucket)
{
	return bucket >= 0 && bucket < BUCKETS && trace->buckets[bucket]
	               ? trace->buckets[bucket]
	               : "unnamed";
}

double trace_memory_fraction(struct trace *trace, const struct device *device)
{
	char *text = rows_first_text(db_rows(trace->db,
	                                     "SELECT value FROM meta WHERE key = "
	                                     "'memory_fraction.' || ?1",
	                                     "t", device->name));
	double fraction = text ? strtod(text, NULL) : 1;

	free(text);
	return fraction > 0 && fraction < 1 ? fraction : 1;
}

bool trace_knows_fraction(struct trace *trace, const struct device *device)
{
	return rows_first(db_rows(trace->db,
	                          "SELECT count(*) FROM meta WHERE key = "
	                          "'memory_fraction.' || ?1",
	                          "t", device->name),
	                  0) > 0;
}

int64_t trace_complete_steps(struct trace *trace)
{
	return db_number(trace->db, 0,
	                 "SELECT count(*) FROM step WHERE id >= 1 AND complete = 1");
}

void json_head(struct json *json, int schema)
{
	json_object(json, "tidemark");
	json_text(json, "version", TIDEMARK_VERSION);
	json_number(json, "schema", schema);
	json_end(json);
}

void trace_json_head(struct trace *trace, struct json *json)
{
	json_head(json, file_schema(trace->db));
	if (trace->missing)
		json_text(json, "incomplete", trace->missing);
}
