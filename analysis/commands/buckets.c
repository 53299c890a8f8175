/* buckets.c - `tidemark buckets`: every byte in use at one instant, by bucket and owner.
 * Called from: main.c. */
#include <stdlib.h>
#include <string.h>

#include "account.h"
#include "alive.h"
#include "by_device.h"
#include "command.h"
#include "fail.h"
#include "frames.h"
#include "heap.h"
#include "text.h"

enum { INSIDE = 9 }; /* the buckets inside PyTorch's allocated bytes come first */

static const struct key_name keys[] = {{"phase", BY_PHASE},
                                       {"module", BY_MODULE | BY_BELONGING},
                                       {"parameter", BY_OWNER},
                                       {"stack", BY_STACK},
                                       {"dtype", BY_DTYPE},
                                       {"scope", BY_SCOPE},
                                       {NULL, 0}};

struct rule {
	char *name, *evidence, *what;
};

static struct rule rule_of(struct trace *trace, int64_t id)
{
	struct rule rule = {0};
	struct rows *rows =
	        db_rows(trace->db, "SELECT name, evidence, what FROM rule WHERE id = ?",
	                "i", id);
	if (rows_next(rows)) {
		rule = (struct rule){.name = rows_copy(rows, 0),
		                     .evidence = rows_copy(rows, 1),
		                     .what = rows_copy(rows, 2)};
		rows_free(rows);
	}
	return rule;
}

static void rule_free(struct rule *rule)
{
	free(rule->name);
	free(rule->evidence);
	free(rule->what);
}

/* An imported trace may have a bucket of its own, "unknown"; beside that nothing is known of a
 * bucket that no block names. */
static bool is_listed(const struct account *account, int bucket)
{
	bool all_known = true;

	for (int b = INSIDE; b < BUCKETS; b++)
		all_known &= !account->of[b].blocks;
	return (bucket < INSIDE && all_known) || account->of[bucket].blocks;
}

static void json_rules(struct trace *trace, const struct account *account, int bucket,
                       struct json *json)
{
	struct rows *rows = db_rows(trace->db,
	                            "SELECT id, name, evidence, what FROM rule "
	                            "ORDER BY id",
	                            "");
	json_array(json, "rules");
	while (rows_next(rows)) {
		int64_t bytes = 0, blocks = 0;
		for (size_t i = 0; i < account->segments.block_count; i++) {
			const struct alive *alive = &account->segments.blocks[i];
			if (alive->bucket != bucket ||
			    alive->rule != rows_number(rows, 0))
				continue;
			bytes += alive->block.bytes;
			blocks++;
		}
		if (!blocks)
			continue;
		json_object(json, NULL);
		json_text(json, "rule", rows_text(rows, 1));
		json_text(json, "evidence", rows_text(rows, 2));
		json_text(json, "what", rows_text(rows, 3));
		json_number(json, "bytes", bytes);
		json_number(json, "blocks", blocks);
		json_end(json);
	}
	json_end(json);
}

static void json_buckets(struct trace *trace, const struct account *account,
                         struct json *json)
{
	json_array(json, "buckets");
	for (int b = 0; b < BUCKETS; b++) {
		if (!is_listed(account, b))
			continue;
		const struct entry *entry = &account->of[b];
		const struct maximum *most = &account->maxima.of[b];
		json_object(json, NULL);
		json_text(json, "bucket", trace_bucket(trace, b));
		json_number(json, "bytes", entry->bytes);
		json_number(json, "blocks", entry->blocks);
		json_number(json, "rounding_bytes", entry->rounding);
		json_number(json, "maximum_bytes", most->bytes);
		json_known(json, "maximum_step", most->step);
		json_text(json, "maximum_phase", maximum_phase(trace, most));
		json_rules(trace, account, b, json);
		json_end(json);
	}
	if (account->unseen) {
		json_object(json, NULL);
		json_text(json, "bucket", account->unseen_name);
		json_number(json, "bytes", account->unseen);
		json_number(json, "blocks", 0);
		json_end(json);
	}
	json_end(json);
}

static void json_cache(const struct account *account, struct json *json)
{
	const struct segments *segments = &account->segments;

	json_object(json, "cache");
	json_known(json, "bytes", account->cache);
	if (account->split) {
		json_number(json, "free_segment_bytes", segments->free_whole);
		json_number(json, "split_remainder_bytes", segments->free_split);
	}
	json_end(json);
	json_object(json, "context");
	json_known(json, "bytes", account->context);
	json_number(json, "of_this_process_bytes", segments->others);
	json_end(json);
}

static void json_rows(struct trace *trace, const struct account *account, unsigned by,
                      struct json *json)
{
	struct groups groups;

	groups_make(trace, &account->places, &account->live,
	            by ? BY_BUCKET | by : BY_ALL, &groups);
	json_array(json, "owners");
	for (size_t i = 0; i < groups.count; i++)
		group_json(trace, json, &groups.groups[i]);
	json_end(json);
	groups_free(&groups);
}

static void json_account(struct trace *trace, const struct account *account,
                         unsigned by, struct json *json)
{
	const struct moment *moment = &account->moment;

	json_object(json, NULL);
	json_text(json, "device", moment->device->name);
	json_number(json, "step", moment->step.id);
	json_text(json, "phase", trace_phase(trace, moment->phase));
	json_number(json, "time_ns", moment->time_ns);
	json_buckets(trace, account, json);
	json_number(json, "allocated_bytes", moment->allocated);
	json_number(json, "rounding_bytes", account->segments.rounding);
	json_cache(account, json);
	json_known(json, "reserved_bytes", moment->reserved);
	json_known(json, "device_used_bytes", moment->used);
	json_known(json, "device_total_bytes", moment->total);
	json_truth(json, "maxima_complete", !account->maxima.thinned);
	json_rows(trace, account, by, json);
	json_end(json);
}

static void print_bucket(struct trace *trace, const struct account *account, int bucket,
                         struct table *table)
{
	const struct entry *entry = &account->of[bucket];
	const struct maximum *most = &account->maxima.of[bucket];
	const char *name = trace_bucket(trace, bucket),
	           *phase = maximum_phase(trace, most);
	struct rule rule = rule_of(trace, entry->rule);

	table_cell(table, bucket_style(name), "%s", name);
	table_cell(table, PLAIN, "%s", text_size(entry->bytes).s);
	table_cell(table, PLAIN, "%s", text_size(most->bytes).s);
	table_cell(table, PLAIN, "%s", phase ? phase : sign(DASH));
	table_cell(table, PLAIN, "%s", rule.name ? rule.name : "");
	rule_free(&rule);
}

/* What the rules of the table say, and how strong their evidence is. */
static void print_rules(struct trace *trace, const struct account *account, FILE *out)
{
	struct table *table = table_new("<<-");

	for (int b = 0; b < BUCKETS; b++) {
		if (!is_listed(account, b))
			continue;
		struct rule rule = rule_of(trace, account->of[b].rule);
		if (rule.name) {
			table_cell(table, DIM, "%s", rule.name);
			table_cell(table, DIM, "%s", rule.evidence);
			table_cell(table, DIM, "%s", rule.what);
		}
		rule_free(&rule);
	}
	fputc('\n', out);
	table_print(table, out, 2, false);
	table_free(table);
}

static void print_sum(FILE *out, const char *name, int64_t bytes, const char *what)
{
	fprintf(out, "  %-13s  %11s", name, text_size(bytes).s);
	if (*what) {
		fprintf(out, "  %s", style(DIM));
		text_wrap(out, what, 28, 28);
		fputs(style(PLAIN), out);
		return;
	}
	fputc('\n', out);
}

static void print_around(const struct account *account, FILE *out)
{
	const struct moment *moment = &account->moment;
	const struct segments *segments = &account->segments;
	char *text = format_text("what PyTorch counts; %s of it is rounding",
	                         text_size(segments->rounding).s);

	print_sum(out, "allocated", moment->allocated, text);
	free(text);
	if (account->cache < 0)
		return;
	text = account->split
	               ? format_text("%s between blocks + %s in empty segments",
	                             text_size(segments->free_split).s,
	                             text_size(segments->free_whole).s)
	               : copy_text(
	                         segments->state == SEGMENTS_PIECES
	                                 ? "in expandable segments"
	                                 : "free blocks; where they are is not known");
	print_sum(out, "cache", account->cache, text);
	free(text);
	print_sum(out, "reserved", moment->reserved, "= allocated + cache");
	if (account->context < 0)
		return;
	text = segments->others
	               ? format_text("the CUDA context and other processes; %s by "
	                             "libraries in this process",
	                             text_size(segments->others).s)
	               : copy_text("the CUDA context, libraries and other processes");
	print_sum(out, "context", account->context, text);
	free(text);
	print_sum(out, "used", moment->used,
	          "total - free, as the device reports them");
	print_sum(out, "free", moment->total - moment->used, "");
	print_sum(out, "total", moment->total, "");
}

/* One cell for each key of --by. */
static void key_cells(struct trace *trace, const struct group *group, unsigned by,
                      struct table *table)
{
	for (const struct key_name *name = keys; name->name; name++) {
		unsigned key = name->key & ~(unsigned)BY_BELONGING;
		const char *text = key == BY_PHASE    ? group->phase
		                   : key == BY_MODULE ? group->module
		                   : key == BY_OWNER  ? group->owner
		                   : key == BY_SCOPE  ? group->scope
		                                      : group->dtype;
		char *chain = NULL;
		if (!(by & key))
			continue;
		if (key == BY_STACK)
			text = chain = line_chain(trace, group->stack, 3);
		if ((!text || !*text) && key != BY_SCOPE)
			text = group->op;
		table_cell(table,
		           key == BY_PHASE && group->phase ? phase_style(group->phase)
		                                           : PLAIN,
		           "%s", text && *text ? text : sign(DASH));
		free(chain);
	}
}

static void print_owners(struct trace *trace, const struct account *account,
                         unsigned by, int64_t top, FILE *out)
{
	struct groups groups;
	char columns[sizeof(keys) / sizeof(*keys) + 3] = ">>~";
	struct table *table;
	int64_t bytes = 0;

	for (const struct key_name *name = keys; name->name; name++)
		if (by & name->key)
			strcat(columns, "~");
	table = table_new(columns);
	groups_make(trace, &account->places, &account->live, BY_BUCKET | by, &groups);
	for (size_t i = 0; i < groups.count; i++) {
		const struct group *group = &groups.groups[i];
		if ((int64_t)i >= top) {
			bytes += group->bytes;
			continue;
		}
		table_cell(table, PLAIN, "%s", text_blocks(group->blocks).s);
		table_cell(table, PLAIN, "%s", text_size(group->bytes).s);
		table_cell(table, bucket_style(group->bucket), "%s", group->bucket);
		key_cells(trace, group, by, table);
	}
	fputc('\n', out);
	table_print(table, out, 2, false);
	table_free(table);
	if ((int64_t)groups.count > top)
		fprintf(out, "  %sand %s more, together %s; --full shows all%s\n",
		        style(DIM), text_plural((int64_t)groups.count - top, "row").s,
		        text_size(bytes).s, style(PLAIN));
	groups_free(&groups);
}

static void print_account(struct trace *trace, const struct account *account,
                          unsigned by, int64_t top, FILE *out)
{
	const struct moment *moment = &account->moment;
	struct table *table = table_new("<>><-");
	static const char *const heads[] = {"bucket", "bytes then", "own maximum", "in",
	                                    "rule"};

	fprintf(out, "%sBUCKETS%s  %s, step %s, %s, %s into the run\n\n", style(BOLD),
	        style(PLAIN), moment->device->name, text_count(moment->step.id).s,
	        trace_phase(trace, moment->phase), text_duration(moment->time_ns).s);
	for (int i = 0; i < 5; i++)
		table_cell(table, PLAIN, "%s", heads[i]);
	for (int b = 0; b < BUCKETS; b++)
		if (is_listed(account, b))
			print_bucket(trace, account, b, table);
	table_print(table, out, 2, true);
	table_free(table);
	if (account->maxima.thinned)
		fputs("  the events of some steps were dropped; the true maxima may be "
		      "larger\n",
		      out);
	fputc('\n', out);
	if (account->unseen)
		print_sum(out, account->unseen_name, account->unseen,
		          "the trace has no event of it");
	print_around(account, out);
	if (!by)
		print_rules(trace, account, out);
	else
		print_owners(trace, account, by, top, out);
}

int cmd_buckets(const struct options *options)
{
	const char *list = options->value[OPT_BY];
	unsigned by = list ? groups_keys(keys, list) : 0;
	struct by_device answer;
	struct wish wish;

	by_device_open(&answer, options, 20);
	wish = moment_parse(options->value[OPT_AT], answer.step);
	by_device_begin(&answer);
	by_device_devices(&answer);
	for (size_t i = 0; i < answer.count; i++) {
		struct moment moment;
		struct account account;
		if (!moment_find(answer.trace, &answer.devices[i], &wish, &moment))
			continue;
		account_make(answer.trace, &moment, &account);
		by_device_next_device(&answer);
		if (answer.json)
			json_account(answer.trace, &account, by, answer.json);
		else
			print_account(answer.trace, &account, by, answer.top,
			              answer.out);
		account_free(&account);
	}
	return by_device_close(&answer, moment_missing(&wish),
	                       wish.kind == MOMENT_OOM ? "oom" : "peak",
	                       "fragmentation");
}
