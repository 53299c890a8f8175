/* fragmentation.c - `tidemark fragmentation`: PyTorch's segments, their holes, and what
 * keeps the mostly empty ones.
 * Called from: main.c. */
#include <stdlib.h>

#include "by_device.h"
#include "command.h"
#include "frames.h"
#include "heap.h"
#include "segments.h"
#include "text.h"

struct view {
	struct trace *trace;
	struct moment moment;
	struct places places;
	struct segments segments;
	bool moved; /* drawn in the step that stands for the folded one asked for */
};

/* Only a step with rows of its own knows where its blocks lay. */
static void look(struct trace *trace, const struct moment *moment, struct view *view)
{
	*view = (struct view){.trace = trace, .moment = *moment};
	if (moment->step.pattern != moment->step.id) {
		struct wish wish = {.kind = MOMENT_STEP,
		                    .number = moment->step.pattern};
		view->moved = moment_find(trace, moment->device, &wish, &view->moment);
	}
	places_load(trace, moment->device->name, &view->places);
	segments_load(trace, &view->moment, &view->segments);
}

static void free_view(struct view *view)
{
	segments_free(&view->segments);
	places_free(&view->places);
}

/* The largest block of a segment; NULL where it is empty. */
static const struct alive *pin(const struct segments *segments,
                               const struct segment *segment)
{
	const struct alive *largest = NULL;
	for (size_t i = 0; i < segment->blocks; i++) {
		const struct alive *alive = &segments->blocks[segment->first + i];
		if (!largest || alive->block.bytes > largest->block.bytes)
			largest = alive;
	}
	return largest;
}

static void json_block(const struct view *view, struct json *json,
                       const struct alive *alive)
{
	const struct site *site = places_site(&view->places, alive->site);
	const struct tensor *owner =
	        places_owner(&view->places, &alive->block, alive->bucket);

	json_object(json, NULL);
	json_number(json, "address", alive->block.address);
	json_number(json, "bytes", alive->block.bytes);
	json_text(json, "bucket", trace_bucket(view->trace, alive->bucket));
	json_text(json, "phase", trace_phase(view->trace, site ? site->phase : -1));
	json_number(json, "step", alive->block.born_step);
	json_text(json, "module", site ? site->module : NULL);
	json_text(json, "op", site ? site->op : NULL);
	json_text(json, "shape", site ? site->shape : NULL);
	json_text(json, "owner", owner ? owner->name : NULL);
	json_end(json);
}

static void json_view(const struct view *view, struct json *json)
{
	const struct segments *all = &view->segments;

	json_object(json, NULL);
	json_text(json, "device", view->moment.device->name);
	json_number(json, "step", view->moment.step.id);
	json_number(json, "time_ns", view->moment.time_ns);
	json_text(json, "state", segments_states[all->state]);
	json_truth(json, "expandable", all->expandable);
	json_number(json, "allocated_bytes", view->moment.allocated);
	json_number(json, "reserved_bytes", view->moment.reserved);
	json_number(json, "segment_bytes", all->bytes);
	json_number(json, "free_segment_bytes", all->free_whole);
	json_number(json, "hole_bytes", all->free_split);
	if (all->state == SEGMENTS_EXACT)
		json_number(json, "largest_hole_bytes", segments_largest_hole(all));
	else
		json_null(json, "largest_hole_bytes");
	json_number(json, "rounding_bytes", all->rounding);
	json_number(json, "others_bytes", all->others);
	json_array(json, "segments");
	for (size_t i = 0; i < all->count; i++) {
		const struct segment *segment = &all->list[i];
		json_object(json, NULL);
		json_number(json, "address", segment->address);
		json_number(json, "bytes", segment->bytes);
		json_number(json, "used_bytes", segment->used);
		json_number(json, "largest_hole_bytes", segment->hole);
		json_array(json, "blocks");
		for (size_t b = 0; b < segment->blocks; b++)
			json_block(view, json, &all->blocks[segment->first + b]);
		json_end(json);
		json_end(json);
	}
	json_end(json);
	json_end(json);
}

/* A strip of columns over a segment's addresses; a column is as full as its bytes are. */
static void draw(const struct view *view, const struct segment *segment, int columns,
                 FILE *out)
{
	const struct segments *all = &view->segments;
	size_t at = segment->first, end = segment->first + segment->blocks;

	for (int c = 0; c < columns; c++) {
		int64_t from = segment->address + segment->bytes / columns * c,
		        used = 0;
		int64_t to = c + 1 < columns ? from + segment->bytes / columns
		                             : segment->address + segment->bytes;
		const struct alive *most = NULL;
		int64_t share = 0;
		while (at < end &&
		       all->blocks[at].block.address + all->blocks[at].block.bytes <=
		               from)
			at++;
		for (size_t b = at; b < end && all->blocks[b].block.address < to; b++) {
			const struct block *block = &all->blocks[b].block;
			int64_t low = block->address > from ? block->address : from;
			int64_t high = block->address + block->bytes;
			high = high < to ? high : to;
			used += high - low;
			if (high - low > share) {
				share = high - low;
				most = &all->blocks[b];
			}
		}
		int64_t eighths = used * 8 / (to > from ? to - from : 1);
		if (used && !eighths)
			eighths = 1;
		enum style color =
		        most ? bucket_style(trace_bucket(view->trace, most->bucket))
		             : DIM;
		fprintf(out, "%s%s%s", style(color),
		        used ? block_up(eighths) : sign(DOT), style(PLAIN));
	}
}

static int by_free(const void *left, const void *right)
{
	const struct segment *a = *(const struct segment *const *)left;
	const struct segment *b = *(const struct segment *const *)right;
	int64_t x = a->bytes - a->used, y = b->bytes - b->used;
	return x > y ? -1 : x < y;
}

/* Columns for a segment's addresses: more of them on a wider screen. */
static int strip_width(void)
{
	int width = term.width / 2 - 28;

	return width < 12 ? 12 : width > 48 ? 48 : width;
}

static const char *pin_name(const struct tensor *owner, const struct site *site)
{
	if (owner)
		return owner->name;
	if (site && site->module)
		return site->module;
	return site && site->op ? site->op : sign(DASH);
}

static void print_segment(const struct view *view, const struct segment *segment,
                          FILE *out)
{
	enum { ROOMY = 60 };
	const int strip = strip_width();
	const struct alive *alive = pin(&view->segments, segment);
	const struct site *site =
	        alive ? places_site(&view->places, alive->site) : NULL;
	const struct tensor *owner =
	        alive ? places_owner(&view->places, &alive->block, alive->bucket)
	              : NULL;
	char *chain = line_chain(view->trace, site ? site->stack : -1, 1), *text;
	int room = term.width - strip - 28;

	fprintf(out, "  %11s ", text_size(segment->bytes).s);
	fprintf(out, "%11s  ", text_size(segment->bytes - segment->used).s);
	draw(view, segment, strip, out);
	fputs("  ", out);
	if (!alive) {
		text_fit(out, "empty; PyTorch can give it back", room, KEEP_HEAD);
	} else {
		text = format_text("  %s%s%s%s%s",
		                   room > ROOMY ? text_size(alive->block.bytes).s : "",
		                   room > ROOMY ? " " : "",
		                   trace_bucket(view->trace, alive->bucket),
		                   *chain ? "  " : "", chain);
		text_fit(out, pin_name(owner, site), room - text_width(text),
		         KEEP_NAME);
		text_fit(out, text, room, KEEP_HEAD);
		free(text);
	}
	fputc('\n', out);
	free(chain);
}

static void print_segments(const struct view *view, int64_t top, FILE *out)
{
	const struct segments *all = &view->segments;
	const struct segment **order = allocate(all->count * sizeof(struct segment *));

	for (size_t i = 0; i < all->count; i++)
		order[i] = &all->list[i];
	if (all->count)
		qsort(order, all->count, sizeof(struct segment *), by_free);
	fprintf(out, "\n  %s%11s %11s  %-*s  what keeps it%s\n", style(DIM), "segment",
	        "free", strip_width(), "its addresses", style(PLAIN));
	for (size_t i = 0; i < all->count && (int64_t)i < top; i++)
		print_segment(view, order[i], out);
	if ((int64_t)all->count > top)
		fprintf(out,
		        "  %sand %s more with less free memory; --full shows all%s\n",
		        style(DIM), text_plural((int64_t)all->count - top, "segment").s,
		        style(PLAIN));
	fprintf(out, "  %s%s in use  %s free%s\n", style(DIM), block_up(8), sign(DOT),
	        style(PLAIN));
	free(order);
}

static void print_view(const struct view *view, int64_t top, FILE *out)
{
	const struct moment *moment = &view->moment;
	const struct segments *all = &view->segments;
	int64_t cached = moment->reserved - moment->allocated;

	fprintf(out, "%sFRAGMENTATION%s  %s, step %s, %s, %s into the run\n",
	        style(BOLD), style(PLAIN), moment->device->name,
	        text_count(moment->step.id).s, trace_phase(view->trace, moment->phase),
	        text_duration(moment->time_ns).s);
	if (view->moved)
		fputs("  drawn from a step with the same events, which was recorded in "
		      "full\n",
		      out);
	if (moment->reserved < 0) {
		fputs("  this device has no segments: PyTorch reserves nothing ahead "
		      "on it\n",
		      out);
		return;
	}
	fprintf(out, "  reserved %s = allocated %s + free in it %s (%s)\n",
	        text_size(moment->reserved).s, text_size(moment->allocated).s,
	        text_size(cached).s, text_percent(cached, moment->reserved).s);
	switch (all->state) {
	case SEGMENTS_PIECES:
		fputs("  this run uses expandable segments; the trace has no addresses "
		      "of their pieces,\n  so the holes cannot be drawn\n",
		      out);
		return;
	case SEGMENTS_NONE:
		fputs("  no segment was recorded; where the blocks were is not known\n",
		      out);
		return;
	case SEGMENTS_INEXACT:
		fprintf(out,
		        "  the recorded segments hold %s; parts of this picture may be "
		        "wrong\n",
		        text_size(all->bytes).s);
		break;
	case SEGMENTS_EXACT:
		fprintf(out,
		        "  of the free memory %s is in holes between blocks\n"
		        "  (largest hole: %s) and %s is in empty segments\n",
		        text_size(all->free_split).s,
		        text_size(segments_largest_between(all)).s,
		        text_size(all->free_whole).s);
	}
	if (all->expandable)
		fputs("  expandable segments grow and shrink at their ends\n", out);
	print_segments(view, top, out);
}

int cmd_fragmentation(const struct options *options)
{
	struct by_device answer;
	struct wish wish;

	by_device_open(&answer, options, 15);
	wish = moment_parse(options->value[OPT_AT], answer.step);
	by_device_begin(&answer);
	by_device_devices(&answer);
	for (size_t i = 0; i < answer.count; i++) {
		struct moment moment;
		struct view view;
		if (!moment_find(answer.trace, &answer.devices[i], &wish, &moment))
			continue;
		look(answer.trace, &moment, &view);
		by_device_next_device(&answer);
		if (answer.json)
			json_view(&view, answer.json);
		else
			print_view(&view, answer.top, answer.out);
		free_view(&view);
	}
	return by_device_close(&answer, moment_missing(&wish),
	                       wish.kind == MOMENT_OOM ? "oom" : "buckets", "leaks");
}
