/* losses.c - what the recorder lost, what disagreed, which signals it did not have.
 * Called from: advice/, commands/, compare/, job/, recognise/. */
#include "losses.h"

#include <string.h>

#include "heap.h"
#include "text.h"

/* Counted in the table of losses and yet no event is missing: an agreement that failed,
 * a free of what was there before tracing, detail given up to keep the file small, names
 * and stacks that found no room or no memory. Any other name means lost events, also one that this
 * command does not know. */
static bool is_lost_event(const char *name)
{
	static const char *const others[] = {"mismatch",     "unmatched_free",
	                                     "long_texts",   "thinned_steps",
	                                     "scope_names",  "ring_full_other",
	                                     "module_names", "out_of_memory_other"};
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		if (!strcmp(name, others[i]))
			return false;
	return true;
}

struct losses losses_count(struct trace *trace)
{
	struct losses losses = {0};
	struct rows *rows = db_rows(trace->db, "SELECT name, count FROM lost", "");

	while (rows_next(rows)) {
		const char *name = rows_text(rows, 0);
		if (is_lost_event(name))
			losses.events += rows_number(rows, 1);
		if (!strcmp(name, "mismatch"))
			losses.mismatches += rows_number(rows, 1);
	}
	losses.seen = db_number(trace->db, 0, "SELECT sum(events) FROM step");
	return losses;
}

/* What was counted, by name; nothing where every count is 0. */
static void print_counts(struct trace *trace, FILE *out)
{
	struct table *table = table_new("><-");
	struct rows *rows = db_rows(
	        trace->db,
	        "SELECT name, count, what FROM lost WHERE count > 0 ORDER BY name", "");
	while (rows_next(rows)) {
		const char *what = rows_text(rows, 2);
		table_cell(table, YELLOW, "%s", text_count(rows_number(rows, 1)).s);
		table_cell(table, PLAIN, "%s", rows_text(rows, 0));
		table_cell(table, DIM, "%s", what ? what : "");
	}
	table_print(table, out, 11, false);
	table_free(table);
}

bool trace_is_imported(struct trace *trace)
{
	return db_number(trace->db, 0,
	                 "SELECT count(*) FROM meta WHERE key = 'imported'");
}

char *torch_text(struct trace *trace, const char *version)
{
	if (version)
		return format_text("torch %s", version);
	return copy_text(trace_is_imported(trace)
	                         ? "imported from a memory snapshot of PyTorch"
	                         : "torch of a version that is not known");
}

void losses_print(struct trace *trace, FILE *out)
{
	struct losses losses = losses_count(trace);

	if (trace_is_imported(trace)) {
		fprintf(out,
		        "  %schecked%s  nothing: a snapshot has no totals to compare "
		        "with\n",
		        style(DIM), style(PLAIN));
		return;
	}
	fprintf(out, "  %schecked%s  %s%s lost%s %s ", style(DIM), style(PLAIN),
	        style(losses.events ? RED : GREEN),
	        text_plural(losses.events, "event").s, style(PLAIN), sign(DOT));
	if (losses.mismatches)
		fprintf(out,
		        "%sreplayed sum differs from allocator's total at %s of %s%s\n",
		        style(RED), text_count(losses.mismatches).s,
		        text_plural(losses.seen, "event").s, style(PLAIN));
	else
		fprintf(out, "replayed sum = allocator's total at all %s\n",
		        text_plural(losses.seen, "event").s);
	print_counts(trace, out);
}

void losses_json(struct trace *trace, struct json *json)
{
	struct losses losses = losses_count(trace);
	struct rows *rows = db_rows(
	        trace->db, "SELECT name, count, what FROM lost ORDER BY name", "");

	json_number(json, "lost_events", losses.events);
	json_number(json, "mismatches", losses.mismatches);
	json_number(json, "events", losses.seen);
	json_truth(json, "imported", trace_is_imported(trace));
	json_array(json, "losses");
	while (rows_next(rows)) {
		json_object(json, NULL);
		json_text(json, "name", rows_text(rows, 0));
		json_number(json, "count", rows_number(rows, 1));
		json_text(json, "what", rows_text(rows, 2));
		json_end(json);
	}
	json_end(json);
}

void capabilities_print(struct trace *trace, FILE *out)
{
	struct table *table = table_new("<<<-");
	struct rows *rows =
	        db_rows(trace->db,
	                "SELECT name, state, why FROM capability "
	                "WHERE state <> 'live' ORDER BY state = 'off', name",
	                "");
	for (bool first = true; rows_next(rows); first = false) {
		const char *state = rows_text(rows, 1), *why = rows_text(rows, 2);
		table_cell(table, DIM, "%s", first ? "signals" : "");
		table_cell(table, PLAIN, "%s", rows_text(rows, 0));
		table_cell(table, strcmp(state, "off") ? YELLOW : DIM, "%s", state);
		table_cell(table, PLAIN, "%s", why ? why : "");
	}
	table_print(table, out, 2, false);
	table_free(table);
}

void capabilities_json(struct trace *trace, struct json *json)
{
	struct rows *rows = db_rows(
	        trace->db, "SELECT name, state, why FROM capability ORDER BY name", "");

	json_array(json, "capabilities");
	while (rows_next(rows)) {
		const char *why = rows_text(rows, 2);
		json_object(json, NULL);
		json_text(json, "name", rows_text(rows, 0));
		json_text(json, "state", rows_text(rows, 1));
		json_text(json, "why", why ? why : "");
		json_end(json);
	}
	json_end(json);
}
