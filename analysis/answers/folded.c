/* folded.c - what was alive at a peak as collapsed stacks.
 * Called from: commands/peak.c. */
#include "folded.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "heap.h"

struct stack_line {
	char *text;
	int64_t bytes;
};

/* ';' parts frames and the last blank parts the count: a frame has neither at its end. */
static void write_part(FILE *out, const char *text)
{
	for (; *text; text++)
		fputc((unsigned char)*text < 0x20 || *text == ';' || *text == 0x7f
		              ? '_'
		              : *text,
		      out);
}

static void write_frame(const struct frame *frame, FILE *out)
{
	const char *file = frame->file ? frame->file : "?";
	const char *slash = strrchr(file, '/');
	char place[32] = "";

	write_part(out, frame->function ? frame->function : "?");
	fputc(' ', out);
	write_part(out, slash ? slash + 1 : file);
	if (frame->line >= 0)
		snprintf(place, sizeof(place), ":%" PRId64, frame->line);
	fputs(place, out);
	fputc(';', out);
}

static char *line_of_sum(struct trace *trace, const char *device,
                         const struct places *places, const struct sum *sum)
{
	const struct site *site = places_site(places, sum->site);
	int64_t stack = !site              ? -1
	                : site->stack >= 0 ? site->stack
	                                   : site->native_stack;
	struct frame *frames = NULL;
	char *text = NULL;
	size_t count = 0, length;
	FILE *out = open_memstream(&text, &length);

	if (!out)
		out_of_memory();
	if (stack >= 0)
		frames = stack_frames(trace, stack, &count);
	write_part(out, device);
	fputc(';', out);
	for (size_t i = count; i-- > 0;)
		write_frame(&frames[i], out);
	if (site && site->op) {
		write_part(out, site->op);
		fputc(';', out);
	}
	write_part(out, trace_bucket(trace, sum->bucket));
	fclose(out);
	frames_free(frames, count);
	return text;
}

static int by_text(const void *left, const void *right)
{
	return strcmp(((const struct stack_line *)left)->text,
	              ((const struct stack_line *)right)->text);
}

void folded_print(struct trace *trace, const char *device, const struct places *places,
                  const struct live *live, FILE *out)
{
	struct stack_line *lines = allocate(live->count * sizeof(*lines));

	for (size_t i = 0; i < live->count; i++)
		lines[i] = (struct stack_line){
		        line_of_sum(trace, device, places, &live->sums[i]),
		        live->sums[i].bytes};
	qsort(lines, live->count, sizeof(*lines), by_text);
	for (size_t i = 0; i < live->count; i++) {
		int64_t bytes = lines[i].bytes;
		while (i + 1 < live->count &&
		       !strcmp(lines[i].text, lines[i + 1].text)) {
			free(lines[i].text);
			bytes += lines[++i].bytes;
		}
		fprintf(out, "%s %" PRId64 "\n", lines[i].text, bytes);
		free(lines[i].text);
	}
	free(lines);
}
