/* diff.c - `tidemark diff`: what changed from one run to another.
 * Called from: main.c. */
#include "diff.h"

#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "doubt.h"
#include "fail.h"
#include "heap.h"
#include "losses.h"
#include "next.h"
#include "screen.h"
#include "text.h"

/* The device of B that stands for one of A: the one of its name; where each run has one device
 * alone, that one, whatever it is called. NULL: there is none. */
static const struct device *twin_of(const struct device *device, size_t count,
                                    const struct device *others, size_t other_count)
{
	for (size_t i = 0; i < other_count; i++)
		if (!strcmp(others[i].name, device->name))
			return &others[i];
	return count == 1 && other_count == 1 ? others : NULL;
}

static char *run_text(struct trace *trace, const char *column)
{
	char *sql = format_text("SELECT %s FROM run", column);
	char *text = rows_first_text(db_rows(trace->db, sql, ""));

	free(sql);
	return text;
}

/* "torch 2.11.0+cu130 · NVIDIA H100 · rank 0 of 8 · 12 steps" */
static char *about(struct trace *trace, const struct device *devices, size_t count)
{
	char *torch = run_text(trace, "torch_version"), *rank = run_text(trace, "rank");
	char *world = run_text(trace, "world_size"), *more;
	char *text = torch_text(trace, torch);

	for (size_t i = 0; i < count && i < 1; i++) {
		if (!devices[i].product)
			continue;
		more = format_text("%s %s %s", text, sign(DOT), devices[i].product);
		free(text);
		text = more;
	}
	if (db_number(trace->db, 0, "SELECT simulated FROM run")) {
		more = format_text("%s, simulated", text);
		free(text);
		text = more;
	}
	if (rank) {
		more = format_text("%s %s rank %s of %s", text, sign(DOT), rank,
		                   world ? world : "?");
		free(text);
		text = more;
	}
	more = format_text("%s %s %s", text, sign(DOT),
	                   text_plural(trace_complete_steps(trace), "step").s);
	free(text);
	free(torch);
	free(rank);
	free(world);
	return more;
}

static void print_side(const char *name, struct trace *trace,
                       const struct device *devices, size_t count, FILE *out)
{
	char *text = about(trace, devices, count), *doubt = doubt_of(trace);

	fprintf(out, "%s%s%s  ", style(BOLD), name, style(PLAIN));
	text_fit(out, trace->name, term.width - 3, KEEP_TAIL);
	fputs("\n   ", out);
	text_fit(out, text, term.width - 3, KEEP_HEAD);
	fputc('\n', out);
	if (doubt) {
		char *whole = format_text(
		        "the whole run may need more than this, because %s", doubt);
		fprintf(out, "   %s", style(YELLOW));
		text_wrap(out, whole, 3, 3);
		fputs(style(PLAIN), out);
		free(whole);
	}
	free(doubt);
	free(text);
}

static void json_side(const char *key, struct trace *trace, struct json *json)
{
	static const char *const texts[] = {"command",       "script", "host",
	                                    "torch_version", "ended",  "model_class"};
	static const char *const numbers[] = {"rank", "world_size", "simulated",
	                                      "exit_status"};
	char *doubt = doubt_of(trace);

	json_object(json, key);
	json_text(json, "trace", trace->name);
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		char *text = run_text(trace, texts[i]);
		json_text(json, texts[i], text);
		free(text);
	}
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
		char *text = run_text(trace, numbers[i]);
		if (text)
			json_number(json, numbers[i], atoll(text));
		else
			json_null(json, numbers[i]);
		free(text);
	}
	json_number(json, "steps", trace_complete_steps(trace));
	json_text(json, "doubt", doubt);
	json_end(json);
	free(doubt);
}

struct comparison {
	struct trace *a, *b;
	struct device *on_a, *on_b;
	size_t count_a, count_b;
	int64_t step, top;
	struct json *json; /* NULL: a screen is wanted */
	FILE *out;
};

static void without_twin(const struct comparison *both, const struct device *device,
                         const char *has, const char *lacks)
{
	if (!both->json)
		fprintf(both->out, "\n%s is a device of %s, not of %s\n", device->name,
		        has, lacks);
}

/* Returns how many devices could be compared. */
static size_t each_device(const struct comparison *both)
{
	size_t shown = 0;

	for (size_t i = 0; i < both->count_a; i++) {
		const struct device *a = &both->on_a[i];
		const struct device *b =
		        twin_of(a, both->count_a, both->on_b, both->count_b);
		struct diff diff;
		if (!b) {
			without_twin(both, a, "A", "B");
			continue;
		}
		if (!diff_make(both->a, a, both->b, b, both->step, &diff))
			continue;
		shown++;
		if (both->json) {
			diff_json(&diff, both->json);
		} else {
			fputc('\n', both->out);
			if (both->count_a > 1 || strcmp(a->name, b->name) != 0)
				fprintf(both->out, "%s%s%s%s\n", a->name,
				        strcmp(a->name, b->name) ? " in A, " : "",
				        strcmp(a->name, b->name) ? b->name : "",
				        strcmp(a->name, b->name) ? " in B" : "");
			diff_print(&diff, both->top, both->out);
		}
		diff_free(&diff);
	}
	for (size_t i = 0; i < both->count_b; i++)
		if (!twin_of(&both->on_b[i], both->count_b, both->on_a, both->count_a))
			without_twin(both, &both->on_b[i], "B", "A");
	return shown;
}

int cmd_diff(const struct options *options)
{
	struct comparison both = {.step = -1, .top = 12};
	struct json json;
	size_t shown;

	if (options->count != 2)
		fail(STATUS_USAGE,
		     "'diff' takes two traces, an older run and a newer one: "
		     "'tidemark diff A.db B.db'");
	option_number(options, OPT_STEP, &both.step);
	option_number(options, OPT_TOP, &both.top);
	both.a = trace_open(options->words[0]);
	both.b = trace_open(options->words[1]);
	if (both.step >= 0) {
		trace_step(both.a, both.step); /* ends here where there is none */
		trace_step(both.b, both.step);
	}
	both.on_a = trace_devices(both.a, options->value[OPT_DEVICE], &both.count_a);
	both.on_b = trace_devices(both.b, options->value[OPT_DEVICE], &both.count_b);
	both.out = screen_open();
	if (options->value[OPT_JSON]) {
		both.json = &json;
		json_begin(&json, both.out);
		trace_json_head(both.a, &json);
		json_side("a", both.a, &json);
		json_side("b", both.b, &json);
		json_array(&json, "devices");
	} else {
		print_side("A", both.a, both.on_a, both.count_a, both.out);
		print_side("B", both.b, both.on_b, both.count_b, both.out);
	}
	shown = each_device(&both);
	if (both.json) {
		json_end(&json);
		json_end(&json);
	} else {
		if (!shown)
			fputs("\n  no device has memory of PyTorch's in both\n",
			      both.out);
		next_commands(both.b, both.out, "peak", "timeline --steps");
	}
	trace_close(both.a);
	trace_close(both.b);
	return screen_close(both.out);
}
