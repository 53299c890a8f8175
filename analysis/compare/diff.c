/* diff.c - two runs beside each other on one device each.
 * Called from: commands/diff.c, judge.c. */
#include "diff.h"

#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "text.h"

/* Of either: an imported trace alone has the bucket "unknown". NULL: neither knows it. */
static const char *bucket_of(const struct diff *diff, int bucket)
{
	const char *name = diff->a.trace->buckets[bucket];

	return name ? name : diff->b.trace->buckets[bucket];
}

static void sum_buckets(const struct side *side, const struct things *things,
                        int64_t bytes[BUCKETS], int64_t *unseen)
{
	*unseen = things->bytes;
	for (int i = 0; i < BUCKETS; i++) {
		const char *name = side->trace->buckets[i];
		for (size_t k = 0; name && k < things->count; k++)
			if (!strcmp(things->list[k].bucket, name))
				bytes[i] += things->list[k].bytes;
		*unseen -= bytes[i];
	}
}

bool diff_make(struct trace *a, const struct device *on_a, struct trace *b,
               const struct device *on_b, int64_t step, struct diff *diff)
{
	struct things alive_a, alive_b;
	struct step step_a, step_b;

	*diff = (struct diff){0};
	if (!trace_peak(a, on_a->id, step, &diff->peak_a) ||
	    !trace_peak(b, on_b->id, step, &diff->peak_b))
		return false;
	side_load(a, on_a, &diff->a);
	side_load(b, on_b, &diff->b);
	step_a = trace_step(a, diff->peak_a.step);
	step_b = trace_step(b, diff->peak_b.step);
	side_alive(&diff->a, &step_a, diff->peak_a.ordinal, diff->peak_a.allocated,
	           &alive_a);
	side_alive(&diff->b, &step_b, diff->peak_b.ordinal, diff->peak_b.allocated,
	           &alive_b);
	changes_find(&alive_a, &alive_b, &diff->changes);
	sum_buckets(&diff->a, &alive_a, diff->bucket_a, &diff->unseen_a);
	sum_buckets(&diff->b, &alive_b, diff->bucket_b, &diff->unseen_b);
	free(alive_a.list);
	free(alive_b.list);
	if (step < 0)
		ranges_make(diff);
	return true;
}

void diff_free(struct diff *diff)
{
	for (size_t i = 0; i < diff->range_count; i++)
		changes_free(&diff->ranges[i].changes);
	free(diff->ranges);
	changes_free(&diff->changes);
	side_free(&diff->a);
	side_free(&diff->b);
}

/* ---- the screen --------------------------------------------------------------------------- */

static void print_peak(const struct diff *diff, FILE *out)
{
	const struct point *a = &diff->peak_a, *b = &diff->peak_b;
	const char *phase_a = trace_phase(diff->a.trace, a->phase);
	const char *phase_b = trace_phase(diff->b.trace, b->phase);
	int64_t more = b->allocated - a->allocated;

	fprintf(out,
	        "%sPEAK%s  %s%s%s: %s in A (step %s, %s%s%s), %s in B (step %s, "
	        "%s%s%s)\n",
	        style(BOLD), style(PLAIN), style(BOLD),
	        more ? signed_size(more).s : "as high", style(PLAIN),
	        text_size(a->allocated).s, text_count(a->step).s,
	        style(phase_style(phase_a)), phase_a, style(PLAIN),
	        text_size(b->allocated).s, text_count(b->step).s,
	        style(phase_style(phase_b)), phase_b, style(PLAIN));
	if (strcmp(phase_a, phase_b) != 0)
		fprintf(out, "      the peaks fall in different phases: much of what "
		             "follows "
		             "is that\n");
	else if ((a->step == 0) != (b->step == 0))
		fprintf(out, "      one peak is before the first step, the other in "
		             "a step\n");
	if (a->reserved_peak > 0 || b->reserved_peak > 0)
		fprintf(out, "      most reserved: %s in A, %s in B (%s)\n",
		        text_size(a->reserved_peak).s, text_size(b->reserved_peak).s,
		        signed_size(b->reserved_peak - a->reserved_peak).s);
}

static void bucket_row(struct table *table, const char *name, int64_t a, int64_t b)
{
	if (!a && !b)
		return;
	table_cell(table, bucket_style(name), "%s", name);
	table_cell(table, PLAIN, "%s", text_size(a).s);
	table_cell(table, PLAIN, "%s", text_size(b).s);
	table_cell(table,
	           b > a   ? RED
	           : b < a ? GREEN
	                   : DIM,
	           "%s", b == a ? "equal" : signed_size(b - a).s);
}

static void print_buckets(const struct diff *diff, FILE *out)
{
	struct table *table = table_new("<>>>");
	static const char *const heads[] = {"at the peak", "A", "B", "change"};

	for (int i = 0; i < 4; i++)
		table_cell(table, PLAIN, "%s", heads[i]);
	for (int i = 0; i < BUCKETS; i++)
		if (bucket_of(diff, i))
			bucket_row(table, bucket_of(diff, i), diff->bucket_a[i],
			           diff->bucket_b[i]);
	bucket_row(table, "not seen", diff->unseen_a, diff->unseen_b);
	fputc('\n', out);
	table_print(table, out, 2, true);
	table_free(table);
}

static size_t counted(const struct changes *changes)
{
	size_t count = 0;
	for (size_t i = 0; i < changes->count; i++)
		count += change_counts(&changes->list[i]);
	return count;
}

static void print_range(const struct diff *diff, const struct range *range, FILE *out)
{
	const char *phase_a = trace_phase(diff->a.trace, range->phase_a);
	const char *phase_b = trace_phase(diff->b.trace, range->phase_b);

	if (range->from == range->to)
		fprintf(out, "  step %s: ", text_count(range->from).s);
	else
		fprintf(out, "  steps %s to %s: ", text_count(range->from).s,
		        text_count(range->to).s);
	if (!range->first && !range->last)
		fputs("equal peaks", out);
	else if (range->rate)
		fprintf(out, "%s to %s, %s with every step",
		        signed_size(range->first).s, signed_size(range->last).s,
		        signed_size(range->rate).s);
	else
		fprintf(out, "%s%s", signed_size(range->last).s,
		        range->from == range->to ? "" : " in each");
	if (strcmp(phase_a, phase_b) != 0)
		fprintf(out, ", the peak in %s in A and in %s in B", phase_a, phase_b);
	if (range->as_peak)
		fputs("; the changes are those above", out);
	fputc('\n', out);
	if (range->told && !range->as_peak)
		changes_print(&range->changes, 2, 4, out);
}

static void print_ranges(const struct diff *diff, int64_t top, FILE *out)
{
	int64_t shown = 0;

	if (!diff->range_count)
		return;
	fprintf(out, "\n%sSTEP BY STEP%s  %s in both\n", style(BOLD), style(PLAIN),
	        text_plural(diff->shared, "step").s);
	for (size_t i = 0; i < diff->range_count && shown < top; i++, shown++)
		print_range(diff, &diff->ranges[i], out);
	if ((int64_t)diff->range_count > shown)
		fprintf(out, "  %sand %s more; --top N shows them%s\n", style(DIM),
		        text_plural((int64_t)diff->range_count - shown, "row").s,
		        style(PLAIN));
	if (diff->alone_a)
		fprintf(out, "  A has %s more than B\n",
		        text_plural(diff->alone_a, "complete step").s);
	if (diff->alone_b)
		fprintf(out, "  B has %s more than A\n",
		        text_plural(diff->alone_b, "complete step").s);
}

void diff_print(const struct diff *diff, int64_t top, FILE *out)
{
	print_peak(diff, out);
	print_buckets(diff, out);
	if (counted(&diff->changes)) {
		fputs("\n  what changed there, the largest first\n", out);
		changes_print(&diff->changes, top, 0, out);
	} else {
		fputs("\n  the same blocks were alive at both peaks\n", out);
	}
	print_ranges(diff, top, out);
}

/* ---- JSON --------------------------------------------------------------------------------- */

static void peak_json(const struct side *side, const struct point *point,
                      const char *key, struct json *json)
{
	json_object(json, key);
	json_text(json, "device", side->device->name);
	json_text(json, "product", side->device->product);
	json_number(json, "step", point->step);
	json_text(json, "phase", trace_phase(side->trace, point->phase));
	json_number(json, "time_ns", point->time_ns);
	json_number(json, "allocated_bytes", point->allocated);
	json_number(json, "peak_reserved_bytes", point->reserved_peak);
	json_end(json);
}

static void bucket_json(const char *name, int64_t a, int64_t b, struct json *json)
{
	json_object(json, NULL);
	json_text(json, "bucket", name);
	json_number(json, "a_bytes", a);
	json_number(json, "b_bytes", b);
	json_number(json, "change_bytes", b - a);
	json_end(json);
}

static void buckets_json(const struct diff *diff, struct json *json)
{
	json_array(json, "by_bucket");
	for (int i = 0; i < BUCKETS; i++)
		if (diff->bucket_a[i] || diff->bucket_b[i])
			bucket_json(bucket_of(diff, i), diff->bucket_a[i],
			            diff->bucket_b[i], json);
	if (diff->unseen_a || diff->unseen_b)
		bucket_json("not seen", diff->unseen_a, diff->unseen_b, json);
	json_end(json);
}

static void range_json(const struct diff *diff, const struct range *range,
                       struct json *json)
{
	json_object(json, NULL);
	json_number(json, "from_step", range->from);
	json_number(json, "to_step", range->to);
	json_number(json, "first_change_bytes", range->first);
	json_number(json, "last_change_bytes", range->last);
	json_number(json, "change_bytes_per_step", range->rate);
	json_text(json, "a_phase", trace_phase(diff->a.trace, range->phase_a));
	json_text(json, "b_phase", trace_phase(diff->b.trace, range->phase_b));
	json_array(json, "by_bucket");
	for (int i = 0; i < BUCKETS; i++) {
		if (!range->bucket[i])
			continue;
		json_object(json, NULL);
		json_text(json, "bucket", bucket_of(diff, i));
		json_number(json, "most_held_change_bytes", range->bucket[i]);
		json_end(json);
	}
	json_end(json);
	json_truth(json, "changes_known", range->told);
	json_truth(json, "changes_as_at_peak", range->as_peak);
	if (range->told && !range->as_peak)
		changes_json(&range->changes, "changes", json);
	json_end(json);
}

void diff_json(const struct diff *diff, struct json *json)
{
	json_object(json, NULL);
	peak_json(&diff->a, &diff->peak_a, "a", json);
	peak_json(&diff->b, &diff->peak_b, "b", json);
	json_number(json, "change_bytes",
	            diff->peak_b.allocated - diff->peak_a.allocated);
	json_truth(json, "same_phase",
	           !strcmp(trace_phase(diff->a.trace, diff->peak_a.phase),
	                   trace_phase(diff->b.trace, diff->peak_b.phase)));
	buckets_json(diff, json);
	changes_json(&diff->changes, "changes", json);
	json_number(json, "shared_steps", diff->shared);
	json_number(json, "a_more_steps", diff->alone_a);
	json_number(json, "b_more_steps", diff->alone_b);
	json_array(json, "steps");
	for (size_t i = 0; i < diff->range_count; i++)
		range_json(diff, &diff->ranges[i], json);
	json_end(json);
	json_end(json);
}
