/* leaks.c - `tidemark leaks`: what grows from step to step, and when it fills the card.
 * Called from: main.c. */
#include <stdlib.h>

#include "by_device.h"
#include "command.h"
#include "frames.h"
#include "growth.h"
#include "heap.h"
#include "many.h"
#include "outlook.h"
#include "text.h"
#include "within.h"

struct leaks {
	struct trace *trace;
	const struct device *device;
	struct places places;
	struct growth growth;
	struct within within;
	struct outlook outlook;
};

static void find_leaks(struct trace *trace, const struct device *device, int64_t upto,
                       struct leaks *leaks)
{
	*leaks = (struct leaks){.trace = trace, .device = device};
	places_load(trace, device->name, &leaks->places);
	growth_load(trace, &leaks->places, device, upto, &leaks->growth);
	within_find(trace, &leaks->places, device, &leaks->within);
	leaks->outlook = outlook_of(trace, device, &leaks->growth);
}

static void free_leaks(struct leaks *leaks)
{
	growth_free(&leaks->growth);
	places_free(&leaks->places);
}

static int64_t stack_of(const struct site *site)
{
	if (!site)
		return -1;
	return site->stack >= 0 ? site->stack : site->native_stack;
}

static void json_grower(const struct leaks *leaks, struct json *json,
                        const struct grower *grower)
{
	const struct site *site = places_site(&leaks->places, grower->site);
	int64_t steps = leaks->growth.to - leaks->growth.from;
	struct line line = line_of(leaks->trace, site ? site->stack : -1);

	json_object(json, NULL);
	json_number(json, "bytes_per_step", grower->grown / steps);
	json_number(json, "grown_bytes", grower->grown);
	json_number(json, "grown_blocks", grower->grown_blocks);
	json_number(json, "bytes", grower->bytes);
	json_number(json, "blocks", grower->blocks);
	json_number(json, "since_step", grower->since);
	json_text(json, "bucket", trace_bucket(leaks->trace, grower->bucket));
	json_text(json, "phase", trace_phase(leaks->trace, site ? site->phase : -1));
	json_text(json, "module", site ? site->module : NULL);
	json_text(json, "op", site ? site->op : NULL);
	json_text(json, "shape", site ? site->shape : NULL);
	json_text(json, "owner", grower->owner ? grower->owner->name : NULL);
	line_json(json, "line", &line);
	stack_json(leaks->trace, json, "stack", stack_of(site));
	json_end(json);
	line_free(&line);
}

/* NULL where nothing grows inside one step. */
static void json_within(const struct leaks *leaks, struct json *json)
{
	const struct within *within = &leaks->within;
	const struct site *site = places_site(&leaks->places, within->site);
	struct line line = line_of(leaks->trace, site ? site->stack : -1);

	if (within->turns) {
		json_object(json, "within_step");
		json_number(json, "step", within->step);
		json_number(json, "turns", within->turns);
		json_number(json, "bytes_per_turn", within->rate);
		json_number(json, "kept_bytes", within->kept);
		json_truth(json, "graphs", within->gradients);
		json_known(json, "full_in_turn", within->full);
		line_json(json, "line", &line);
		json_end(json);
	} else {
		json_null(json, "within_step");
	}
	line_free(&line);
	site = places_site(&leaks->places, within->swells_site);
	line = line_of(leaks->trace, within->swells && site ? site->stack : -1);
	if (within->swells) {
		json_object(json, "swelling_block");
		json_number(json, "bytes", within->swells);
		json_number(json, "grows_by_bytes", within->swells_by);
		line_json(json, "line", &line);
		json_end(json);
	} else {
		json_null(json, "swelling_block");
	}
	line_free(&line);
}

static void json_leaks(const struct leaks *leaks, struct json *json)
{
	const struct growth *growth = &leaks->growth;
	const struct site *root = places_site(&leaks->places, growth->root);
	struct line line = line_of(leaks->trace, root ? root->stack : -1);

	json_object(json, NULL);
	json_text(json, "device", leaks->device->name);
	json_truth(json, "leaks",
	           growth->count || leaks->within.turns || leaks->within.swells);
	json_truth(json, "enough_steps", !growth->too_short);
	json_number(json, "from_step", growth->from);
	json_number(json, "to_step", growth->to);
	json_number(json, "bytes_per_step", growth_rate(growth));
	json_number(json, "kept_bytes", growth->bytes);
	json_number(json, "level_rose_bytes", growth->level);
	json_within(leaks, json);
	json_known(json, "left_bytes", leaks->outlook.left);
	json_known(json, "full_in_step", leaks->outlook.full);
	line_json(json, "newest_line", &line);
	json_array(json, "growing");
	for (size_t i = 0; i < growth->count; i++)
		json_grower(leaks, json, &growth->list[i]);
	json_end(json);
	json_end(json);
	line_free(&line);
}

static void print_rows(const struct leaks *leaks, int64_t top, FILE *out)
{
	const struct growth *growth = &leaks->growth;
	struct table *table = table_new(">>~~<-");
	static const char *const heads[] = {"a step", "kept",   "made by",
	                                    "shape",  "bucket", "line"};
	int64_t steps = growth->to - growth->from;

	for (int i = 0; i < 6; i++)
		table_cell(table, PLAIN, "%s", heads[i]);
	for (size_t i = 0; i < growth->count && (int64_t)i < top; i++) {
		const struct grower *grower = &growth->list[i];
		const struct site *site = places_site(&leaks->places, grower->site);
		const char *bucket = trace_bucket(leaks->trace, grower->bucket);
		char *chain = line_chain(leaks->trace, site ? site->stack : -1, 3);
		table_cell(table, PLAIN, "%s", text_size(grower->grown / steps).s);
		table_cell(table, PLAIN, "%s", text_size(grower->bytes).s);
		table_cell(table, PLAIN, "%s",
		           grower->owner          ? grower->owner->name
		           : site && site->module ? site->module
		           : site && site->op     ? site->op
		                                  : sign(DASH));
		table_cell(table, PLAIN, "%s", site && site->shape ? site->shape : "");
		table_cell(table, bucket_style(bucket), "%s", bucket);
		table_cell(table, PLAIN, "%s", *chain ? chain : sign(DASH));
		free(chain);
	}
	table_print(table, out, 2, true);
	table_free(table);
	if ((int64_t)growth->count > top)
		fprintf(out, "  %sand %s more; --full shows all%s\n", style(DIM),
		        text_plural((int64_t)growth->count - top, "place").s,
		        style(PLAIN));
}

static void print_outlook(const struct leaks *leaks, FILE *out)
{
	const struct growth *growth = &leaks->growth;
	const struct site *root = places_site(&leaks->places, growth->root);
	char *chain = line_chain(leaks->trace, root ? root->stack : -1, 3);

	if (*chain && growth->count > 1)
		fprintf(out,
		        "\n  the last tensor that a step keeps is made at %s%s%s:\n"
		        "  whatever holds this tensor also holds the graph that made "
		        "it\n",
		        style(BOLD), chain, style(PLAIN));
	free(chain);
	if (leaks->outlook.full >= 0)
		fprintf(out,
		        "\n  %s was free at the peak of step %s;\n"
		        "  at this rate the card is full in step %s\n",
		        text_size(leaks->outlook.left).s, text_count(growth->to).s,
		        text_count(leaks->outlook.full).s);
}

static void print_within(const struct leaks *leaks, FILE *out)
{
	const struct within *within = &leaks->within;
	const struct site *site = places_site(&leaks->places, within->site);
	char *chain = line_chain(leaks->trace, site ? site->stack : -1, 3), *text;

	if (within->turns) {
		text = format_text(
		        "inside step %2$s a loop keeps %1$s more with each turn: %3$s "
		        "after %4$s turns%5$s%6$s%7$s",
		        text_size(within->rate).s, text_count(within->step).s,
		        text_size(within->kept).s, text_count(within->turns).s,
		        *chain ? ", made at " : "", chain,
		        within->gradients ? "; these are autograd graphs: a backward, "
		                            ".item() or torch.no_grad() frees them"
		                          : "");
		fputs("  ", out);
		text_wrap(out, text, 2, 2);
		free(text);
		if (within->full >= 0)
			fprintf(out, "  %s in turn %s\n",
			        within->refused ? "the device was full" : "full",
			        text_count(within->full).s);
	}
	free(chain);
	if (!within->swells)
		return;
	site = places_site(&leaks->places, within->swells_site);
	chain = line_chain(leaks->trace, site ? site->stack : -1, 3);
	text = format_text("a block of %s is made again and again, each time larger by "
	                   "%s, at %s (a torch.cat of all that came before?)",
	                   text_size(within->swells).s, text_size(within->swells_by).s,
	                   *chain ? chain : sign(DASH));
	fputs("  ", out);
	text_wrap(out, text, 2, 2);
	free(text);
	free(chain);
}

static void print_leaks(const struct leaks *leaks, int64_t top, FILE *out)
{
	const struct growth *growth = &leaks->growth;

	fprintf(out, "%sLEAKS%s  %s, ", style(BOLD), style(PLAIN), leaks->device->name);
	if (growth->too_short) {
		fprintf(out, "%s: too few to tell what grows; it takes four\n",
		        text_plural(growth->to, "complete step").s);
		print_within(leaks, out);
		return;
	}
	fprintf(out, "steps %s to %s compared\n", text_count(growth->from).s,
	        text_count(growth->to).s);
	print_within(leaks, out);
	if (!growth->count && (growth->level <= 0 || leaks->within.swells)) {
		if (leaks->within.swells)
			return;
		fputs("  nothing grows from step to step\n", out);
		return;
	}
	if (!growth->count) {
		fprintf(out,
		        "  no block is kept from step to step, but the last step "
		        "begins with %s more\n  than step %s did: what each step makes "
		        "anew has become larger\n",
		        text_size(growth->level).s, text_count(growth->from).s);
		return;
	}
	fprintf(out,
	        "  every step keeps %s%s more%s, in %s; together %s at step %s\n\n",
	        style(RED), text_size(growth_rate(growth)).s, style(PLAIN),
	        text_plural((int64_t)growth->count, "place").s,
	        text_size(growth->bytes).s, text_count(growth->to).s);
	print_rows(leaks, top, out);
	print_outlook(leaks, out);
}

int cmd_leaks(const struct options *options)
{
	struct by_device answer;

	if (many_named(options))
		return many_answer(options, JOB_LEAKS);
	by_device_open(&answer, options, 12);
	by_device_begin(&answer);
	by_device_devices(&answer);
	for (size_t i = 0; i < answer.count; i++) {
		struct leaks leaks;
		find_leaks(answer.trace, &answer.devices[i], answer.step, &leaks);
		by_device_next_device(&answer);
		if (answer.json)
			json_leaks(&leaks, answer.json);
		else
			print_leaks(&leaks, answer.top, answer.out);
		free_leaks(&leaks);
	}
	return by_device_close(&answer,
	                       "no device memory was allocated through PyTorch\n",
	                       "timeline --steps", "peak");
}
