/* peak.c - `tidemark peak`: when the peak was, in which phase, who was alive.
 * Called from: main.c. */
#include <stdlib.h>
#include <string.h>

#include "alive.h"
#include "by_device.h"
#include "command.h"
#include "fail.h"
#include "folded.h"
#include "frames.h"
#include "group.h"
#include "heap.h"
#include "many.h"
#include "text.h"

struct peak {
	struct trace *trace;
	const struct device *device;
	struct point point;
	struct step step;
	struct sample sample;
	struct places places;
	struct live live;
	/* What the allocator counts and no row explains: blocks from before tracing
	 * began. Negative where rows outlived their blocks, which a sound trace never
	 * has. */
	int64_t unseen;
	const char *unseen_name;
	int64_t twins; /* other steps of the same shape */
};

static bool find_peak(struct trace *trace, const struct device *device, int64_t step,
                      struct peak *peak)
{
	struct rows *rows;

	*peak = (struct peak){.trace = trace, .device = device};
	if (!trace_peak(trace, device->id, step, &peak->point))
		return false;
	peak->step = trace_step(trace, peak->point.step);
	peak->sample = trace_sample(trace, device->id, &peak->point);
	peak->unseen_name = "before tracing";
	places_load(trace, device->name, &peak->places);
	if (live_at(trace, &peak->places, device->id, &peak->step, peak->point.ordinal,
	            &peak->live))
		peak->unseen_name = "thinned away";
	peak->unseen = peak->point.allocated - peak->live.bytes;
	if (peak->unseen < 0)
		peak->unseen_name = "freed unseen";
	rows = db_rows(trace->db,
	               "SELECT count(*) FROM step WHERE id <> ?1 AND "
	               "coalesce(same_as, id) = ?2",
	               "ii", peak->step.id, peak->step.pattern);
	rows_next(rows);
	peak->twins = rows_number(rows, 0);
	rows_free(rows);
	return true;
}

static void free_peak(struct peak *peak)
{
	live_free(&peak->live);
	places_free(&peak->places);
}

static void json_sums(const struct peak *peak, struct json *json, const char *list,
                      const char *key, unsigned by)
{
	struct groups groups;

	groups_make(peak->trace, &peak->places, &peak->live, by, &groups);
	json_array(json, list);
	for (size_t i = 0; i < groups.count + (peak->unseen != 0); i++) {
		bool unseen = i == groups.count;
		const struct group *group = &groups.groups[i];
		json_object(json, NULL);
		json_text(json, key,
		          unseen           ? peak->unseen_name
		          : by == BY_PHASE ? group->phase
		                           : group->bucket);
		json_number(json, "bytes", unseen ? peak->unseen : group->bytes);
		json_number(json, "blocks", unseen ? 0 : group->blocks);
		json_end(json);
	}
	json_end(json);
	groups_free(&groups);
}

static void json_live(const struct peak *peak, struct json *json, unsigned by,
                      int64_t top)
{
	struct groups groups;
	struct group rest = {0}, unseen = {.bytes = peak->unseen};

	groups_make(peak->trace, &peak->places, &peak->live, by ? by : BY_ALL, &groups);
	json_array(json, "live");
	for (size_t i = 0; i < groups.count; i++) {
		if ((int64_t)i < top) {
			group_json(peak->trace, json, &groups.groups[i]);
		} else {
			rest.bytes += groups.groups[i].bytes;
			rest.blocks += groups.groups[i].blocks;
		}
	}
	if (peak->unseen) {
		unseen.owner = unseen.phase = unseen.bucket = peak->unseen_name;
		unseen.stack = unseen.native_stack = unseen.largest_stack = -1;
		group_json(peak->trace, json, &unseen);
	}
	json_end(json);
	json_object(json, "not_listed");
	json_number(json, "bytes", rest.bytes);
	json_number(json, "blocks", rest.blocks);
	json_end(json);
	groups_free(&groups);
}

static void json_peak(const struct peak *peak, struct json *json, unsigned by,
                      int64_t top)
{
	const struct point *point = &peak->point;

	json_object(json, NULL);
	json_text(json, "device", peak->device->name);
	json_number(json, "step", point->step);
	json_text(json, "phase", trace_phase(peak->trace, point->phase));
	json_number(json, "time_ns", point->time_ns);
	json_number(json, "ordinal", point->ordinal);
	json_known(json, "same_as",
	           peak->step.pattern == point->step ? -1 : peak->step.pattern);
	json_number(json, "steps_of_this_shape", peak->twins + 1);
	json_number(json, "allocated_bytes", point->allocated);
	json_number(json, "reserved_bytes",
	            peak->sample.reserved >= 0 ? peak->sample.reserved
	                                       : point->reserved_peak);
	json_known(json, "device_used_bytes", peak->sample.device_used);
	json_known(json, "device_total_bytes", peak->device->total_bytes);
	json_sums(peak, json, "by_phase", "phase", BY_PHASE);
	json_sums(peak, json, "by_bucket", "bucket", BY_BUCKET);
	json_live(peak, json, by, top);
	json_end(json);
}

static void print_head(const struct peak *peak, FILE *out)
{
	const struct point *point = &peak->point;
	const char *phase = trace_phase(peak->trace, point->phase);
	int64_t reserved = peak->sample.reserved >= 0 ? peak->sample.reserved
	                                              : point->reserved_peak;

	fprintf(out, "%sPEAK%s  %s  %s%s%s  (%s)\n", style(BOLD), style(PLAIN),
	        peak->device->name, style(BOLD), text_size(point->allocated).s,
	        style(PLAIN), text_bytes(point->allocated).s);
	fprintf(out, "      step %s, %s%s%s, %s into it\n", text_count(point->step).s,
	        style(phase_style(phase)), phase, style(PLAIN),
	        text_duration(point->time_ns - peak->step.start_ns).s);
	if (reserved > 0)
		fprintf(out, "      reserved %s", text_size(reserved).s);
	if (peak->sample.device_used >= 0)
		fprintf(out, " %s device in use %s", sign(DOT),
		        text_size(peak->sample.device_used).s);
	if (peak->sample.device_used >= 0 && peak->device->total_bytes > 0)
		fprintf(out, " of %s", text_size(peak->device->total_bytes).s);
	if (reserved > 0 || peak->sample.device_used >= 0)
		fputc('\n', out);
	if (peak->twins)
		fprintf(out, "      %s %s the same events\n",
		        text_plural(peak->twins, "other step").s,
		        peak->twins == 1 ? "has" : "have");
}

static void print_sums(const struct peak *peak, FILE *out, const char *title,
                       unsigned by)
{
	struct groups groups;
	struct table *table = table_new("<>>><");

	groups_make(peak->trace, &peak->places, &peak->live, by, &groups);
	table_cell(table, PLAIN, "%s", title);
	table_cell(table, PLAIN, "blocks");
	table_cell(table, PLAIN, "size");
	table_cell(table, PLAIN, "share");
	table_cell(table, PLAIN, "%s", "");
	for (size_t i = 0; i < groups.count + (peak->unseen != 0); i++) {
		bool unseen = i == groups.count;
		const struct group *group = &groups.groups[i];
		const char *name = unseen           ? peak->unseen_name
		                   : by == BY_PHASE ? group->phase
		                                    : group->bucket;
		enum style color =
		        by == BY_PHASE ? phase_style(name) : bucket_style(name);
		int64_t bytes = unseen ? peak->unseen : group->bytes;
		char *bar = NULL;
		size_t length;
		FILE *text = open_memstream(&bar, &length);
		text_bar(text, bytes, peak->point.allocated, 28);
		fclose(text);
		bar[strcspn(bar, " ")] = 0;
		table_cell(table, color, "%s", name);
		table_cell(table, PLAIN, "%s",
		           unseen || !group->blocks ? sign(DASH)
		                                    : text_count(group->blocks).s);
		table_cell(table, PLAIN, "%s", text_size(bytes).s);
		table_cell(table, PLAIN, "%s",
		           text_percent(bytes, peak->point.allocated).s);
		table_cell(table, color, "%s", bar);
		free(bar);
	}
	fputc('\n', out);
	table_print(table, out, 2, true);
	table_free(table);
	groups_free(&groups);
}

/* Every call of a module passes through these; they tell nothing. */
static bool is_plumbing(const struct frame *frame)
{
	const char *name = frame->function ? frame->function : "";
	return !strcmp(file_name(frame->file), "libtidemark.so") ||
	       (frame->file && strstr(frame->file, "/tidemark_known/")) ||
	       (frame->file && strstr(frame->file, "/tidemark_with/")) ||
	       !strcmp(name, "Module._call_impl") ||
	       !strcmp(name, "Module._wrapped_call_impl");
}

/* A library's file from its package on, the program's own from where the program ran. */
static const char *shorter(const char *file, const char *folder)
{
	static const char *const packages[] = {"/site-packages/", "/dist-packages/"};
	size_t length = folder ? strlen(folder) : 0;
	const char *found = file ? strstr(file, "/torch/") : NULL;

	if (!file)
		return "?";
	if (length && !strncmp(file, folder, length) && file[length] == '/')
		return file + length + 1;
	for (int i = 0; i < 2; i++)
		if (strstr(file, packages[i]))
			return strstr(file, packages[i]) + strlen(packages[i]);
	return found ? found + 1 : file;
}

static void print_frame(const struct frame *frame, const char *folder, FILE *out)
{
	const char *function = frame->function ? frame->function : "?";
	char *text = frame->line >= 0
	                     ? format_text("%s:%d  %s", shorter(frame->file, folder),
	                                   (int)frame->line, function)
	             : frame->function ? copy_text(function)
	                               : format_text("? in %s", file_name(frame->file));
	fputs("    ", out);
	text_fit(out, text, term.width - 4, KEEP_TAIL);
	fputc('\n', out);
	free(text);
}

static void print_stack(const struct peak *peak, FILE *out, const struct group *group,
                        bool full)
{
	enum { SHOWN = 8 };
	size_t count, shown = 0, left = 0;
	struct frame *frames;
	char *folder;

	if (group->largest_stack < 0)
		return;
	folder = rows_first_text(db_rows(peak->trace->db, "SELECT cwd FROM run", ""));
	frames = stack_frames(peak->trace, group->largest_stack, &count);
	fprintf(out, "\n  %sthe stack that made the first row%s\n", style(DIM),
	        style(PLAIN));
	for (size_t i = 0; i < count; i++) {
		if (is_plumbing(&frames[i]))
			continue;
		if (full || shown < SHOWN)
			print_frame(&frames[i], folder, out);
		left += shown++ >= SHOWN && !full;
	}
	if (left)
		fprintf(out, "    %sand %s that called these; --full shows them%s\n",
		        style(DIM), text_plural((int64_t)left, "frame").s,
		        style(PLAIN));
	free(folder);
	frames_free(frames, count);
}

static void print_live(const struct peak *peak, FILE *out, unsigned by, int64_t top)
{
	struct groups groups;
	int64_t bytes = 0, blocks = 0;

	groups_make(peak->trace, &peak->places, &peak->live, by, &groups);
	for (size_t i = 0; i < groups.count; i++) {
		if ((int64_t)i >= top) {
			bytes += groups.groups[i].bytes;
			blocks += groups.groups[i].blocks;
		}
	}
	fputc('\n', out);
	alive_print(peak->trace, &groups, by, (size_t)top, out);
	if ((int64_t)groups.count > top)
		fprintf(out, "  %sand %s in %s more, together %s; --full shows all%s\n",
		        style(DIM), text_plural(blocks, "block").s,
		        text_plural((int64_t)groups.count - top, "row").s,
		        text_size(bytes).s, style(PLAIN));
	if (peak->unseen)
		fprintf(out, "  %s%s: %s, of which this trace has no event%s\n",
		        style(YELLOW), peak->unseen_name, text_size(peak->unseen).s,
		        style(PLAIN));
	if (groups.count)
		print_stack(peak, out, &groups.groups[0], top == INT64_MAX);
	groups_free(&groups);
}

static void print_peak(const struct peak *peak, FILE *out, unsigned by, int64_t top)
{
	print_head(peak, out);
	print_sums(peak, out, "born in", BY_PHASE);
	print_sums(peak, out, "bucket", BY_BUCKET);
	print_live(peak, out,
	           by ? by
	              : BY_MODULE | BY_SHAPE | BY_BUCKET | BY_PHASE | BY_PATTERN |
	                           BY_BELONGING,
	           top);
}

/* Only stacks on stdout, whatever the terminal: they go into another program. */
static void print_folded(const struct peak *peak, FILE *out)
{
	char *name;

	folded_print(peak->trace, peak->device->name, &peak->places, &peak->live, out);
	if (!peak->unseen)
		return;
	name = format_text("%s;%s", peak->device->name, peak->unseen_name);
	fprintf(out, "%s %lld\n", name, (long long)peak->unseen);
	free(name);
}

int cmd_peak(const struct options *options)
{
	bool as_json = options->value[OPT_JSON], folded = options->value[OPT_FOLDED];
	const char *list = options->value[OPT_BY];
	unsigned by = list ? groups_parse(list) : 0;
	struct by_device answer;

	if (many_named(options))
		return many_answer(options, JOB_PEAK);
	if (as_json && folded)
		fail(STATUS_USAGE,
		     "'--folded' and '--json' are two answers; choose one");
	by_device_open(&answer, options, as_json ? INT64_MAX : 15);
	by_device_begin(&answer);
	by_device_devices(&answer);
	for (size_t i = 0; i < answer.count; i++) {
		struct peak peak;
		if (!find_peak(answer.trace, &answer.devices[i], answer.step, &peak))
			continue;
		if (folded) {
			print_folded(&peak, answer.out);
		} else {
			by_device_next_device(&answer);
			if (as_json)
				json_peak(&peak, answer.json, by, answer.top);
			else
				print_peak(&peak, answer.out, by, answer.top);
		}
		free_peak(&peak);
	}
	if (folded)
		return by_device_close(&answer, NULL, NULL, NULL);
	return by_device_close(&answer,
	                       "no device memory was allocated through PyTorch\n",
	                       "timeline", "report");
}
