/* view.c - a look as a screen for people, and as a line for a log.
 * Called from: commands/live.c, json.c. */
#include "view.h"

#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "text.h"

enum { LABEL = 12, NUMBER = 10 }; /* columns */

const char *view_state(const struct look *look)
{
	if (look->ended)
		return look->ended;
	if (look->state == GLANCE_KILLED)
		return "killed";
	if (look->state == GLANCE_ENDED)
		return "ended"; /* how is not known: neither the end nor the ring is here */
	if (look->stopped)
		return "stopped";
	return look->state == GLANCE_LIVES ? "running" : "perhaps running";
}

/* "12.3 steps/s"; a slow one as "4.2 s a step". */
static struct small pace(const struct look *look)
{
	struct small text;
	int64_t rate = look->milli_rate;

	if (rate <= 0)
		snprintf(text.s, sizeof(text.s), "rate not known");
	else if (rate >= 1000)
		snprintf(text.s, sizeof(text.s), "%.1f steps/s", (double)rate / 1000);
	else
		snprintf(text.s, sizeof(text.s), "%.30s a step",
		         text_duration((int64_t)(1e12 / (double)rate)).s);
	return text;
}

static struct small known(int64_t bytes)
{
	if (bytes >= 0)
		return text_size(bytes);
	return (struct small){"not known"};
}

static int64_t age(const struct look *look, const struct watched *device)
{
	int64_t ns = look->now_ns - device->at_ns;
	return device->at_ns < 0 ? -1 : ns > 0 ? ns : 0;
}

static bool wanted(const struct showing *showing, const struct watched *device)
{
	return !showing->device || !strcmp(showing->device, device->name);
}

/* ---- a screen ------------------------------------------------------------------------ */

static void print_head(const struct look *look, FILE *out)
{
	const char *phase = look_phase(look);
	int room = term.width - 36;

	fprintf(out, "%sLIVE%s  ", style(BOLD), style(PLAIN));
	text_fit(out, look->path, room > 12 ? room : 12, KEEP_TAIL);
	fprintf(out, "  %s", text_duration(look->now_ns > 0 ? look->now_ns : 0).s);
	if (look->pid >= 0)
		fprintf(out, "  process %lld", (long long)look->pid);
	fputc('\n', out);
	if (look->step < 0)
		fputs("  no step has ended yet", out);
	else
		fprintf(out, "  step %s runs, %s", text_count(look->step + 1).s,
		        pace(look).s);
	fputs(", phase ", out);
	if (phase)
		fprintf(out, "%s%s%s\n", style(phase_style(phase)), phase,
		        style(PLAIN));
	else
		fprintf(out, "%snot known yet%s\n", style(DIM), style(PLAIN));
}

static void print_bar(const char *label, int64_t bytes, int64_t whole, enum style way,
                      FILE *out)
{
	int columns = term.width - LABEL - NUMBER - 24;

	fprintf(out, "  %-*s%*s", LABEL, label, NUMBER, known(bytes).s);
	if (whole > 0 && bytes >= 0) {
		fprintf(out, "  %7s  %s", text_percent(bytes, whole).s, style(way));
		text_bar(out, bytes, whole, columns > 50 ? 50 : columns);
		fputs(style(PLAIN), out);
	}
	fputc('\n', out);
}

static void print_words(const char *label, int64_t bytes, const char *what, FILE *out)
{
	fprintf(out, "  %-*s%*s  %s\n", LABEL, label, NUMBER, known(bytes).s, what);
}

static void print_leak(const struct leak *leak, FILE *out)
{
	fprintf(out, "  %-*s", LABEL, "leak");
	if (!leak->known) {
		fprintf(out, "%snot known yet: it takes four complete steps%s\n",
		        style(DIM), style(PLAIN));
		return;
	}
	if (leak->rate <= 0) {
		fprintf(out, "nothing grows from step to step (steps %s to %s)\n",
		        text_count(leak->from).s, text_count(leak->to).s);
		return;
	}
	fprintf(out, "%severy step keeps %s more%s (steps %s to %s)\n", style(RED),
	        text_size(leak->rate).s, style(PLAIN), text_count(leak->from).s,
	        text_count(leak->to).s);
	if (leak->full >= 0)
		fprintf(out, "  %-*sforecast: the card will be full in step %s\n",
		        LABEL, "", text_count(leak->full).s);
}

static void print_buckets(const struct look *look, const struct watched *device,
                          FILE *out)
{
	int64_t most = 1;

	if (!device->bucketed)
		return;
	fprintf(out, "  %s%-*s%*s %*s%s  as step %s began, and the most in it\n",
	        style(DIM), LABEL + 2, "bucket", NUMBER, "began", NUMBER + 1, "most",
	        style(PLAIN), text_count(look->step).s);
	for (int i = 0; i < BUCKET_CACHE; i++)
		most = device->most[i] > most ? device->most[i] : most;
	for (int i = 0; i < BUCKET_CACHE; i++) {
		const char *name = look_bucket(i);
		if (!device->began[i] && !device->most[i])
			continue;
		fprintf(out, "  %s%-*s%s%*s %*s  %s", style(bucket_style(name)),
		        LABEL + 2, name, style(PLAIN), NUMBER,
		        text_size(device->began[i]).s, NUMBER + 1,
		        text_size(device->most[i]).s, style(bucket_style(name)));
		text_bar(out, device->most[i], most, 24);
		fprintf(out, "%s\n", style(PLAIN));
	}
}

static void print_device(const struct look *look, const struct watched *device,
                         FILE *out)
{
	fprintf(out, "\n%s%s%s", style(BOLD), device->name, style(PLAIN));
	if (*device->product)
		fprintf(out, "  %s", device->product);
	if (device->total > 0)
		fprintf(out, "  %s", text_size(device->total).s);
	fputc('\n', out);
	print_bar("allocated", device->allocated, device->total, GREEN, out);
	print_bar("reserved", device->reserved, device->total, GREY, out);
	print_bar("peak so far", device->peak, device->total, GREEN, out);
	if (device->total > 0) {
		print_words("headroom", device->headroom,
		            "left for PyTorch to hand out", out);
		print_words("outside", device->outside, "in use that is not PyTorch's",
		            out);
	}
	print_leak(&device->leak, out);
	print_buckets(look, device, out);
	fprintf(out, "  %sallocated and reserved as of ", style(DIM));
	if (age(look, device) < 0)
		fputs("a time that is not known", out);
	else
		fprintf(out, "%s ago", text_duration(age(look, device)).s);
	fprintf(out, "%s\n", style(PLAIN));
}

void view_print(const struct look *look, const struct showing *showing, FILE *out)
{
	size_t shown = 0;

	print_head(look, out);
	if (look->simulated)
		fputs("  on a simulated card: the pace is this machine's\n", out);
	if (look->stopped)
		fprintf(out, "  %sthe run goes on, but its tracing has stopped%s\n",
		        style(YELLOW), style(PLAIN));
	if (look->lost)
		fprintf(out, "  %s%s lost: the rings were full%s\n", style(YELLOW),
		        text_plural(look->lost, "event").s, style(PLAIN));
	if (*look->why) {
		fputs("  what the last step has done so far is not known: ", out);
		text_fit(out, look->why, term.width > 60 ? term.width - 54 : 6,
		         KEEP_HEAD);
		fputc('\n', out);
	}
	for (size_t i = 0; i < look->devices; i++) {
		if (!wanted(showing, &look->device[i]))
			continue;
		print_device(look, &look->device[i], out);
		shown++;
	}
	if (!shown)
		fputs("\n  no device memory has been seen yet\n", out);
	fprintf(out, "\n%s%s quits", style(DIM), showing->quit);
	if (showing->slower_ns)
		fprintf(out, "; redrawn every %s, as one look takes %s",
		        text_duration(showing->slower_ns).s,
		        text_duration(look->cost_ns).s);
	fprintf(out, "%s\n", style(PLAIN));
}

/* ---- a line -------------------------------------------------------------------------- */

void view_line(const struct look *look, const struct showing *showing, FILE *out)
{
	const char *phase = look_phase(look);
	size_t shown = 0;

	for (size_t i = 0; i <= look->devices; i++) {
		const struct watched *device = &look->device[i];
		if (i == look->devices ? shown > 0 : !wanted(showing, device))
			continue;
		fprintf(out, "%s  step ", text_duration(look->now_ns).s);
		fprintf(out, look->step < 0 ? "%s" : "%s, ",
		        text_count(look->step + 1).s);
		fprintf(out, look->step < 0 ? "" : "%s", pace(look).s);
		fprintf(out, ", %s", phase ? phase : "phase not known yet");
		if (i == look->devices) {
			fputs("  no device memory has been seen yet\n", out);
			return;
		}
		shown++;
		fprintf(out, "  %s allocated %s", device->name,
		        known(device->allocated).s);
		fprintf(out, ", reserved %s", known(device->reserved).s);
		fprintf(out, ", headroom %s", known(device->headroom).s);
		if (device->leak.rate > 0)
			fprintf(out, ", leak %s a step",
			        text_size(device->leak.rate).s);
		if (device->leak.full >= 0 && device->leak.rate > 0)
			fprintf(out, " (full in step %s)",
			        text_count(device->leak.full).s);
		fputc('\n', out);
	}
}

/* ---- the end ------------------------------------------------------------------------- */

char *view_end(const struct look *look, const struct showing *showing)
{
	const char *state = view_state(look);
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	if (!out)
		out_of_memory();
	fprintf(out, "the run of '%s' ", look->path);
	if (!strcmp(state, "killed"))
		fputs("was killed", out);
	else if (!strcmp(state, "stopped"))
		fputs("is not traced any more", out);
	else if (look->exit_status >= 0)
		fprintf(out, "has ended with status %lld",
		        (long long)look->exit_status);
	else
		fputs("has ended", out);
	fprintf(out, " after %s", text_plural(look->complete, "complete step").s);
	for (size_t i = 0; i < look->devices; i++) {
		const struct watched *device = &look->device[i];
		if (wanted(showing, device))
			fprintf(out, "; %s: peak %s, last %s", device->name,
			        text_size(device->peak).s, known(device->allocated).s);
	}
	fclose(out);
	return text;
}
