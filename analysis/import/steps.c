/* steps.c - the rows that a step has when it ends, and those of the run.
 * Called from: import.c. */
#include <stdlib.h>
#include <string.h>

#include "build_private.h"

static void write_phases(struct build *build, int64_t device, const struct gauge *gauge)
{
	for (int64_t b = 0; b < BUILD_BUCKETS; b++)
		if (gauge->start_buckets[b])
			rows_put(build->put[STEP_BUCKET], "iiiii", build->step, device,
			         b, (int64_t)-1, gauge->start_buckets[b]);
	for (int64_t p = 0; p < BUILD_PHASES; p++) {
		if (!gauge->events[p])
			continue;
		rows_put(build->put[STEP_PHASE], "iiiii", build->step, device, p,
		         gauge->high[p], gauge->events[p]);
		for (int64_t b = 0; b < BUILD_BUCKETS; b++)
			if (gauge->most[p][b])
				rows_put(build->put[STEP_BUCKET], "iiiii", build->step,
				         device, b, p, gauge->most[p][b]);
	}
}

static void write_device(struct build *build, int32_t index)
{
	struct gauge *gauge = &build->gauges[index];
	int64_t device = index + 1;

	if (!gauge->known)
		return;
	rows_put(build->put[STEP_DEVICE], "iiiiiiiii", build->step, device,
	         gauge->start, gauge->allocated, gauge->peak, gauge->peak_reserved,
	         gauge->peak_at, gauge->peak_ns, gauge->peak_phase);
	write_phases(build, device, gauge);
}

static void begin_device(const struct build *build, struct gauge *gauge)
{
	gauge->start = gauge->peak = gauge->allocated;
	gauge->peak_reserved = gauge->reserved;
	gauge->peak_at = -1;
	gauge->peak_ns = build->step_ns;
	gauge->peak_phase = build->phase;
	memcpy(gauge->start_buckets, gauge->buckets, sizeof(gauge->buckets));
	memset(gauge->events, 0, sizeof(gauge->events));
	memset(gauge->high, 0, sizeof(gauge->high));
	memset(gauge->most, 0, sizeof(gauge->most));
}

static void end_step(struct build *build, int64_t time_ns, bool complete)
{
	bool any = build->blocks >= build->first_block;

	rows_put(build->put[STEP], "iiiiinn", build->step, build->step_ns, time_ns,
	         build->ordinal, (int64_t)complete,
	         any ? build->first_block : INT64_MIN, any ? build->blocks : INT64_MIN);
	for (int32_t i = 0; i < BUILD_DEVICES; i++)
		write_device(build, i);
	build->complete += complete;
}

void build_step(struct build *build, int64_t time_ns)
{
	end_step(build, time_ns, build->step > 0 && build->stepped);
	build->step++;
	build->step_ns = time_ns;
	build->ordinal = build->spans = 0;
	build->first_block = build->blocks + 1;
	build->stepped = build->phase == PHASE_OPTIMIZER;
	for (int32_t i = 0; i < BUILD_DEVICES; i++)
		if (build->gauges[i].known)
			begin_device(build, &build->gauges[i]);
	rows_put(build->put[SPAN], "iiiii", build->step, build->spans++, build->phase,
	         time_ns, (int64_t)0);
}

static void capability(struct build *build, const char *name, const char *state,
                       const char *why)
{
	struct rows *put =
	        db_statement(build->db, "INSERT INTO capability VALUES (?, ?, ?)");

	rows_put(put, "ttt", name, state, why);
	rows_free(put);
}

static void write_capabilities(struct build *build, const struct about *about)
{
	if (build->unknown)
		capability(build, "buckets",
		           build->unknown == build->blocks ? "missing" : "degraded",
		           "imported: the snapshot does not say what memory is for");
	capability(build, "phases", about->annotated ? "degraded" : "missing",
	           about->annotated ? "imported: only what the snapshot's annotations "
	                              "name has a phase"
	                            : "imported: the snapshot has no annotations");
	if (!build->step)
		capability(build, "steps", "missing",
		           "imported: the snapshot does not say where "
		           "steps end");
	if (about->cut || !about->history)
		capability(build, "history", "degraded",
		           "imported: the history begins in the middle of the run");
	else if (about->late)
		capability(build, "history", "degraded",
		           "imported: blocks were made after the history had ended");
	if (about->rounded)
		capability(
		        build, "sizes", "degraded",
		        "imported: a block that was freed counts as large as what was "
		        "asked for");
}

static void write_run(struct build *build, const struct about *about)
{
	struct rows *put =
	        db_statement(build->db, "INSERT INTO run (id, tidemark_version, "
	                                "command, started_unix_ns, ended_ns, ended, "
	                                "stacks) VALUES (1, '" TIDEMARK_VERSION
	                                "', ?, ?, ?, 'exit', "
	                                "(SELECT CASE WHEN max(kind = 'native') AND "
	                                "max(kind = 'python') THEN 'all' "
	                                "WHEN max(kind = 'native') THEN 'native' WHEN "
	                                "max(kind = 'python') THEN 'python' "
	                                "ELSE 'none' END FROM frame))");

	rows_put(put, "tii", about->command, about->started_ns, build->latest_ns);
	rows_free(put);
	put = db_statement(build->db, "INSERT INTO meta VALUES ('imported', ?)");
	rows_put(put, "t", about->command);
	rows_free(put);
}

struct built build_done(struct build *build, const struct about *about)
{
	struct built built;

	end_step(build, build->latest_ns, false);
	if (build->unknown)
		db_define(build->db, "INSERT INTO bucket VALUES (11, 'unknown')");
	write_capabilities(build, about);
	write_run(build, about);
	built = (struct built){.blocks = build->blocks,
	                       .unknown = build->unknown,
	                       .steps = build->complete};
	for (int i = 0; i < BUILD_DEVICES; i++)
		built.devices += build->gauges[i].known;
	for (int i = 0; i < STATEMENTS; i++)
		rows_free(build->put[i]);
	db_done(build->db);
	map_free(&build->sites);
	free(build->held);
	free(build->areas);
	free(build);
	return built;
}
