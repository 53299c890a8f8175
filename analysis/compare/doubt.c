/* doubt.c - why a trace does not tell the whole of a run.
 * Called from: commands/check.c, commands/diff.c, job/rollup.c. */
#include "doubt.h"

#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "losses.h"
#include "oom.h"
#include "text.h"

/* The refusal that ended the run; NULL where none did. */
static char *ran_out(struct trace *trace)
{
	char *text = NULL;

	if (!db_number(trace->db, 0, "SELECT count(*) FROM oom"))
		return NULL;
	for (size_t d = 0; d < trace->device_count && !text; d++) {
		struct places places;
		struct oom *ooms;
		size_t count;
		places_load(trace, trace->devices[d].name, &places);
		ooms = ooms_load(trace, &places, &trace->devices[d], -1, &count);
		for (size_t i = 0; i < count && !text; i++)
			if (ooms[i].fatal)
				text = format_text(
				        "the run ran out of memory on %s in step %s, "
				        "%s",
				        trace->devices[d].name,
				        text_count(ooms[i].moment.step.id).s,
				        trace_phase(trace, ooms[i].moment.phase));
		ooms_free(ooms, count);
		places_free(&places);
	}
	return text;
}

static char *bad_end(struct trace *trace)
{
	char *ended = rows_first_text(db_rows(trace->db, "SELECT ended FROM run", ""));
	int64_t status = db_number(trace->db, 0, "SELECT exit_status FROM run");
	char *text = NULL;

	if (!ended)
		text = copy_text("the trace is cut off before the run ended");
	else if (!strcmp(ended, "killed"))
		text = copy_text("the run was killed");
	else if (!strcmp(ended, "stopped"))
		text = copy_text("tracing stopped before the run ended");
	else if (status)
		text = format_text("the program failed, with status %lld",
		                   (long long)status);
	free(ended);
	return text;
}

static char *lost(struct trace *trace)
{
	struct losses losses = losses_count(trace);

	if (losses.events)
		return format_text("%s %s lost", text_plural(losses.events, "event").s,
		                   losses.events == 1 ? "was" : "were");
	if (losses.mismatches)
		return format_text("its sums differ from the allocator's total at %s",
		                   text_plural(losses.mismatches, "event").s);
	return NULL;
}

char *doubt_of(struct trace *trace)
{
	char *text;

	if (trace->running)
		return copy_text("the run is still going on");
	if (trace->perhaps_running)
		return copy_text("it cannot be told from here whether the run goes on");
	if (trace->missing)
		return format_text("the last events of the run are missing: %s",
		                   trace->missing);
	text = ran_out(trace);
	if (!text)
		text = bad_end(trace);
	return text ? text : lost(trace);
}
