/* outcome.c - what a run on a simulated card came to, and what it says of other cards.
 * Called from: commands/simulate.c, outcome_print.c. */
#include "outcome.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "oom.h"
#include "trace.h"
#include "trace_queries.h"

static void read_ooms(struct trace *trace, const struct device *device,
                      struct outcome *at)
{
	struct places places;
	size_t count;
	struct oom *ooms;

	places_load(trace, device->name, &places);
	ooms = ooms_load(trace, &places, device, -1, &count);
	for (size_t i = 0; i < count; i++) {
		const struct oom *oom = &ooms[i];
		if (!oom->fatal) {
			at->caught++;
			continue;
		}
		at->ran_out = true;
		at->step = oom->moment.step.id;
		at->requested = oom->requested;
		at->live = oom->moment.allocated;
		free(at->phase);
		at->phase = copy_text(trace_phase(trace, oom->moment.phase));
		line_free(&at->line);
		at->line = (struct line){.file = copy_text(oom->line.file),
		                         .function = copy_text(oom->line.function),
		                         .number = oom->line.number};
	}
	ooms_free(ooms, count);
	places_free(&places);
}

/* What the log says of a process's device; -1: nothing, as of one that was killed. */
static int64_t logged_peak(const struct simulator_log *log, int64_t pid,
                           const char *device)
{
	FILE *file = log->path ? fopen(log->path, "re") : NULL;
	int64_t peak = -1, who, bytes;
	char line[600];
	int index;

	if (file)
		fseek(file, (long)log->from, SEEK_SET);
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "%" SCNd64 " peak device %d bytes %" SCNd64, &who,
		           &index, &bytes) == 3 &&
		    who == pid && !strncmp(device, "cuda:", 5) &&
		    atoi(device + 5) == index)
			peak = bytes;
	if (file)
		fclose(file);
	return peak;
}

static void read_device(struct trace *trace, const struct device *device,
                        const struct simulator_log *log, struct outcome *at)
{
	struct point point;
	struct rows *rows;
	int64_t logged;

	if (!trace_peak(trace, device->id, -1, &point))
		return;
	at->device = copy_text(device->name);
	at->trace = copy_text(trace->name);
	at->phase = copy_text(trace_phase(trace, point.phase));
	at->step = point.step;
	at->allocated = point.allocated;
	rows = db_rows(trace->db, sql_most_used, "i", device->id);
	if (rows_next(rows)) {
		at->reserved = rows_number_or(rows, 0, at->allocated);
		at->used = rows_number_or(rows, 1, at->reserved);
		at->total = rows_number_or(rows, 2, at->total);
		rows_free(rows);
	}
	logged = logged_peak(log, db_number(trace->db, -1, "SELECT pid FROM run"),
	                     device->name);
	if (logged > at->used) /* what others hold is in it */
		at->used = logged;
	read_ooms(trace, device, at);
}

static void drop(struct outcome *at)
{
	free(at->device);
	free(at->phase);
	free(at->trace);
	line_free(&at->line);
}

static bool is_worse(const struct outcome *a, const struct outcome *b)
{
	if (a->ran_out != b->ran_out)
		return a->ran_out;
	return a->used > b->used;
}

void outcome_read(struct outcome *outcome, char **files, size_t count,
                  const struct simulator_log *log)
{
	struct outcome worst = *outcome;

	for (size_t i = 0; i < count; i++) {
		struct trace *trace = trace_open(files[i]);
		for (size_t d = 0; d < trace->device_count; d++) {
			struct outcome at = *outcome;
			if (!strcmp(trace->devices[d].name, "cpu"))
				continue;
			read_device(trace, &trace->devices[d], log, &at);
			at.caught += worst.caught;
			if (!at.device || (worst.device && !is_worse(&at, &worst))) {
				worst.caught = at.caught;
				drop(&at);
				continue;
			}
			drop(&worst);
			worst = at;
		}
		trace_close(trace);
	}
	*outcome = worst;
	outcome->no_trace = !worst.device;
	outcome->fit = worst.ran_out                   ? DOES_NOT_FIT
	               : worst.status || !worst.device ? NO_ANSWER
	                                               : FITS;
	assumptions_read(&outcome->assumptions, log);
}

void outcome_free(struct outcome *outcome)
{
	drop(outcome);
	assumptions_free(&outcome->assumptions);
}

bool outcome_barely(const struct outcome *outcome)
{
	enum { PERCENT = 3 };
	int64_t left = outcome->total - outcome->used;

	return outcome->fit == FITS && (left * 100 < outcome->total * PERCENT ||
	                                left < outcome->card->context_bytes);
}

/* Other scratch memory comes with another number of multiprocessors: a twentieth either
 * way decides nothing. Between cards that are alike in all that PyTorch asks for but
 * memory, bytes are equal. */
bool outcome_derive(const struct outcome *run, const struct profile *card,
                    struct outcome *outcome)
{
	const struct profile *ran = run->card;
	const char *settings = getenv("PYTORCH_CUDA_ALLOC_CONF");
	int64_t context = card->context_bytes - ran->context_bytes;
	int64_t slack, live, used = run->used + context;

	if (run->fit == NO_ANSWER || !ran->capability || !card->capability ||
	    strcmp(ran->capability, card->capability) != 0)
		return false;
	/* Where the allocator looks at the card's size, another size is another run. */
	if (settings && strstr(settings, "garbage_collection_threshold"))
		return false;
	live = run->ran_out ? run->live + run->requested : run->allocated;
	slack = strcmp(ran->shape, card->shape) ? used / 20 : 0;
	*outcome = *run;
	outcome->card = card;
	outcome->based_on = ran;
	outcome->ran = false;
	outcome->total = card->memory_bytes;
	outcome->used = used;
	outcome->device = copy_text(run->device);
	outcome->phase = copy_text(run->phase);
	outcome->trace = copy_text(run->trace);
	outcome->assumptions = assumptions_copy(&run->assumptions);
	outcome->line = (struct line){.file = copy_text(run->line.file),
	                              .function = copy_text(run->line.function),
	                              .number = run->line.number};
	if (!run->ran_out && used + slack <= card->memory_bytes) {
		outcome->fit = FITS;
		return true;
	}
	/* Giving back cached blocks frees nothing that is alive. */
	if (live - slack + card->context_bytes + run->outside > card->memory_bytes) {
		outcome->fit = DOES_NOT_FIT;
		return true;
	}
	outcome_free(outcome);
	return false;
}
