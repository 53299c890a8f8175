/* saved_by.c - the activations of a model without a known shape: what autograd keeps of the
 * operators that its modules ran.
 *
 * Sizes and order are the trace's; what of them is kept is the rule of each operator. The result of
 * one is what the next one reads, which holds in a chain of modules and in most others: what reads
 * a tensor later is not looked for.
 * Called from: reconcile.c. */
#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "reconcile.h"
#include "reconcile_queries.h"

enum saved { NOTHING, INPUT = 1, RESULT = 2, BOTH = 3 };

struct rule {
	const char *name;
	enum saved saved;
};

static const struct rule rules[] = {
#define SAVES(name, saved) {name, saved},
#include "saves.def"
#undef SAVES
};

/* One call of an operator: its blocks are one after the other. */
struct call {
	char *op;
	int64_t module, bytes, beside; /* of its result; of what else it made */
	int64_t others;                /* blocks beside the result */
};

struct calls {
	struct call *list;
	size_t count, room;
};

/* The longest of the names with which an operator's begins, as a word or with more words. */
static const struct rule *rule_of(const char *op)
{
	const struct rule *best = NULL;
	const char *name = op && !strncmp(op, "aten::", 6) ? op + 6 : op;

	for (size_t i = 0; name && i < sizeof(rules) / sizeof(*rules); i++) {
		size_t length = strlen(rules[i].name);
		if (strncmp(name, rules[i].name, length) != 0 ||
		    (best && strlen(best->name) >= length))
			continue;
		if (!name[length] || !(name[length] >= 'a' && name[length] <= 'z'))
			best = &rules[i];
	}
	return best;
}

static bool is_cast(const char *op)
{
	return op && strstr(op, "_to_copy");
}

static void read_calls(const struct reconciled *r, struct calls *calls)
{
	struct rows *rows = db_rows(r->trace->db, sql_forward_blocks, "iii",
	                            r->device->id, r->step.first, r->step.last);

	while (rows_next(rows)) {
		const char *op = rows_text(rows, 0);
		int64_t bytes = rows_number(rows, 1), module = rows_number(rows, 2);
		struct call *last =
		        calls->count ? &calls->list[calls->count - 1] : NULL;
		const struct rule *rule = rule_of(op);
		if (last && rule && last->op && op && !strcmp(last->op, op) &&
		    last->module == module && bytes < last->bytes) {
			last->others++;
			last->beside += bytes;
			continue;
		}
		calls->list = grow(calls->list, calls->count, &calls->room,
		                   sizeof(*calls->list));
		calls->list[calls->count++] =
		        (struct call){.op = op ? copy_text(op) : NULL,
		                      .module = module,
		                      .bytes = bytes};
	}
}

static void expect_saved(struct reconciled *r, int64_t bytes, int64_t count,
                         const char *how, const char *op)
{
	if (!bytes)
		return;
	r->rows[ROW_ACTIVATION].predicted += bytes * count;
	items_add(&r->expected, (struct item){.row = ROW_ACTIVATION,
	                                      .role = IN_NOTHING,
	                                      .bytes = bytes,
	                                      .count = count,
	                                      .label = format_text(how, op),
	                                      .kind = CAUSE_NEVER});
}

/* Who reads the result: the next call, past casts. */
static const struct call *reader_of(const struct calls *calls, size_t i)
{
	while (++i < calls->count)
		if (!is_cast(calls->list[i].op))
			return &calls->list[i];
	return NULL;
}

static void expect_call(struct reconciled *r, const struct calls *calls, size_t i)
{
	const struct call *call = &calls->list[i], *reader = reader_of(calls, i);
	const struct rule *own = rule_of(call->op),
	                  *next = reader ? rule_of(reader->op) : NULL;

	if (own && own->saved & RESULT)
		expect_saved(r, call->bytes, 1, "the result of %s", call->op);
	else if (next && next->saved & INPUT)
		expect_saved(r, call->bytes, 1, "what %s reads", reader->op);
	else if (!reader && r->point.phase == PHASE_FORWARD)
		expect_saved(r, call->bytes, 1, "the last result, of %s", call->op);
	if (own && call->others)
		expect_saved(r, call->beside / call->others, call->others,
		             "what %s keeps for its backward", call->op);
}

static bool made(const struct calls *calls, int64_t bytes)
{
	for (size_t i = 0; i < calls->count; i++)
		if (calls->list[i].bytes == bytes)
			return true;
	return false;
}

/* Of an optimizer whose step makes a tensor for a weight, or for each. */
static bool like_a_weight(const struct reconciled *r, int64_t elements)
{
	const struct model *model = &r->recognised->model;

	for (size_t i = 0; i < model->count; i++)
		if (weight_size(&model->weights[i]) == elements)
			return true;
	return false;
}

/* Gradients of results are as large as these, temporaries of a step as large as weights. Which of
 * them stood at the peak is the trace's. */
static void expect_temporaries(struct reconciled *r, const struct calls *calls)
{
	for (size_t i = 0; i < r->measured.count; i++) {
		const struct item *item = &r->measured.items[i];
		bool gradient = made(calls, item->bytes);
		if (item->row != ROW_TEMPORARY ||
		    (!gradient && !like_a_weight(r, item->elements)))
			continue;
		r->rows[ROW_TEMPORARY].predicted += item->bytes * item->count;
		items_add(&r->expected,
		          (struct item){.row = ROW_TEMPORARY,
		                        .role = item->role,
		                        .bytes = item->bytes,
		                        .elements = item->elements,
		                        .count = item->count,
		                        .label = copy_text(
		                                gradient ? "gradients of results"
		                                         : "temporaries of weights"),
		                        .kind = CAUSE_NEVER});
	}
}

void reconcile_saved(struct reconciled *r)
{
	struct calls calls = {0};

	if (r->recognised->model.known || r->device->id != r->recognised->device->id)
		return;
	read_calls(r, &calls);
	for (size_t i = 0; i < calls.count; i++)
		expect_call(r, &calls, i);
	expect_temporaries(r, &calls);
	for (size_t i = 0; i < calls.count; i++)
		free(calls.list[i].op);
	free(calls.list);
	items_merge(&r->expected);
}
