/* trace.h - a trace as the commands see it: its file, devices, steps and peaks. */
#ifndef TIDEMARK_ANALYSIS_TRACE_H
#define TIDEMARK_ANALYSIS_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "db.h"
#include "json.h"
#include "schema_ids.h"

enum { PHASES = 16, BUCKETS = 16 }; /* room; schema.sql has ten and eleven */

enum phase_id {
#define X(id, number, name) PHASE_##id = number,
	SCHEMA_PHASES(X)
#undef X
};

enum bucket_id {
#define X(id, number, name) BUCKET_##id = number,
	SCHEMA_BUCKETS(X)
#undef X
};

struct device {
	int64_t id, total_bytes; /* total_bytes -1 where not known */
	char *name, *product;
};

/* The frames that the stacks of a JSON document have named so far. */
struct said {
	int64_t *frames; /* ids, in the order of the list "frames" */
	int64_t *place;  /* by id: its place in that list plus one; 0: none yet */
	size_t count, room, places;
};

struct trace {
	struct db *db;
	char *name; /* as the user typed it, for hints */
	char *path; /* what is read: the file, or a completed copy of it */
	struct device *devices;
	size_t device_count;
	char *phases[PHASES], *buckets[BUCKETS];
	bool running;         /* the run goes on; this is its state as of now */
	bool perhaps_running; /* ... or whether it does cannot be told from here */
	char *missing;        /* NULL, or why the run's last events are not in it */
	char *model;          /* the class of the model; NULL: not known */
	bool simulated;       /* its times are those of a simulation, not of a card */
	struct said said;
	int steps_asked; /* of the view `ended`: trace_ended */
};

/* One step; pattern is the step whose rows speak for it (schema.sql, folding). */
struct step {
	int64_t id, pattern, start_ns, end_ns, events, micro_steps;
	int64_t pattern_start_ns, pattern_end_ns;
	int64_t first, last; /* ids of the pattern's rows; first > last: it has none */
	bool complete;
	bool thinned; /* the rows of the pattern are gone */
};

/* The instant at which a device's allocated memory was highest. */
struct point {
	int64_t step, ordinal, time_ns, phase, allocated, reserved_peak;
};

/* Opens a file, or with NULL the newest trace in the current folder; finishes a leftover
 * ring first. Ends the program with status 2 or 3. */
struct trace *trace_open(const char *path);

/* The same of what a run that goes on has committed: nothing is finished and nothing copied.
 * NULL, with a sentence in why, where the file cannot be read. */
struct trace *trace_peek(const char *path, char *why, size_t size);
void trace_close(struct trace *trace);

/* The devices to answer for: with NULL all, else the one of this name. Ends the program
 * with status 2 where there is none. */
struct device *trace_devices(struct trace *trace, const char *wish, size_t *count);

/* Ends the program with status 2 where there is no such step. */
struct step trace_step(struct trace *trace, int64_t id);

/* All of them, by number. */
typedef void trace_step_visit(void *context, const struct step *step);
void trace_each_step(struct trace *trace, trace_step_visit *visit, void *context);

/* Before a query of the view `ended`, which is about one step: after some of them it gets a table
 * by steps, as each looks at all that began before its step otherwise. */
void trace_ended(struct trace *trace);

/* The peak of a device, over the run (step -1) or in one step. false: it has none. */
bool trace_peak(struct trace *trace, int64_t device, int64_t step, struct point *point);

/* The one of these devices whose peak is the highest, in the run or in one step: the model is there.
 * NULL: none has one. */
const struct device *trace_highest(struct trace *trace, const struct device *devices,
                                   size_t count, int64_t step, struct point *point);

/* What the newest sample at or before a point said; -1 where there is none. */
struct sample {
	int64_t reserved, device_used;
};
struct sample trace_sample(struct trace *trace, int64_t device,
                           const struct point *point);

const char *trace_phase(const struct trace *trace, int64_t phase);
const char *trace_bucket(const struct trace *trace, int64_t bucket);

/* The share of a device that set_per_process_memory_fraction left to PyTorch, where Python told
 * it; 1: all. */
double trace_memory_fraction(struct trace *trace, const struct device *device);
/* Did Python tell it, be it 1? */
bool trace_knows_fraction(struct trace *trace, const struct device *device);

/* Steps with their own Optimizer.step(). */
int64_t trace_complete_steps(struct trace *trace);

/* "tidemark": {version, schema}, the head of every JSON answer. */
void trace_json_head(struct trace *trace, struct json *json);
void json_head(struct json *json, int schema);

#endif
