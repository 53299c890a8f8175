/* group.c - what was alive, put together by what it has in common.
 * Called from: advice/, commands/, compare/. */
#include "group.h"

#include <stdlib.h>
#include <string.h>

#include "fail.h"
#include "frames.h"
#include "heap.h"
#include "nearest.h"
#include "term.h"

static int order(int64_t a, int64_t b)
{
	return a < b ? -1 : a > b;
}

static const char *keep_text(struct groups *groups, char *text)
{
	groups->texts = resize(groups->texts,
	                       (groups->text_count + 1) * sizeof(*groups->texts));
	return groups->texts[groups->text_count++] = text;
}

/* 'transformer.h.11.attn' becomes 'transformer.h.*.attn'. */
char *name_pattern(const char *name)
{
	char *text, *to;

	if (!name)
		return NULL;
	text = to = copy_text(name);
	for (const char *at = name; *at;) {
		size_t length = strcspn(at, ".");
		size_t digits = strspn(at, "0123456789");
		if (length && digits == length) {
			*to++ = '*';
		} else {
			memmove(to, at, length);
			to += length;
		}
		at += length;
		if (*at)
			*to++ = *at++;
	}
	*to = 0;
	return text;
}

static const char *pattern(struct groups *groups, const char *name)
{
	if (!name || !name[strcspn(name, "0123456789")])
		return name;
	return keep_text(groups, name_pattern(name));
}

/* 'h.0.attn' of 'h.0.attn.weight exp_avg'; what has no dot in its name is the model's own. */
static const char *module_of(const struct trace *trace, struct groups *groups,
                             const struct tensor *owner)
{
	static const char *const kinds[] = {"parameter", "buffer", "gradient",
	                                    "optimizer"};
	bool named = false;
	char *name, *dot;

	for (int i = 0; i < 4; i++)
		named |= owner->kind && !strcmp(owner->kind, kinds[i]);
	if (!named || !owner->name)
		return NULL;
	name = copy_text(owner->name);
	name[strcspn(name, " ")] = 0;
	dot = strrchr(name, '.');
	if (!dot) {
		free(name);
		return trace->model;
	}
	*dot = 0;
	return keep_text(groups, name);
}

/* An imported trace has neither modules nor operators: without the line all is one row. */
static const char *line_where_nothing_else_is(struct trace *trace,
                                              struct groups *groups,
                                              const struct group *group)
{
	struct line line;
	const char *text = NULL;

	if (group->module || group->owner || group->op || group->stack < 0)
		return NULL;
	line = line_of(trace, group->stack);
	if (line.file)
		text = keep_text(groups, line_text(&line));
	line_free(&line);
	return text;
}

static struct group describe(struct trace *trace, const struct places *places,
                             const struct sum *sum, unsigned by, struct groups *groups)
{
	const struct site *site = places_site(places, sum->site);
	struct group group = {.bytes = sum->bytes,
	                      .blocks = sum->blocks,
	                      .largest = site,
	                      .places = places};

	group.phase = trace_phase(trace, site ? site->phase : -1);
	group.bucket = trace_bucket(trace, sum->bucket);
	group.owner = sum->owner ? sum->owner->name : NULL;
	group.owner_kind = sum->owner ? sum->owner->kind : NULL;
	if (sum->owner && by & BY_BELONGING)
		group.module = module_of(trace, groups, sum->owner);
	if (!group.module && site)
		group.module = site->module;
	group.op = site ? site->op : NULL;
	group.shape = site ? site->shape : NULL;
	group.dtype = site ? site->dtype : NULL;
	group.scope = site ? site->scope : NULL;
	group.stack = site ? site->stack : -1;
	group.native_stack = site ? site->native_stack : -1;
	group.largest_stack = group.stack >= 0 ? group.stack : group.native_stack;
	if (by & BY_PATTERN) {
		group.owner = pattern(groups, group.owner);
		/* Where no module was on the stack the operator says most. */
		group.module = group.module || group.owner
		                       ? pattern(groups, group.module)
		                       : group.op;
		group.line = line_where_nothing_else_is(trace, groups, &group);
	}
	return group;
}

static int compare(const char *a, const char *b)
{
	return a == b ? 0 : !a ? -1 : !b ? 1 : strcmp(a, b);
}

static bool in_backward(const struct group *group)
{
	return group->largest && group->largest->phase == PHASE_BACKWARD;
}

static unsigned sort_key; /* qsort hands on no context */

static int by_key(const void *left, const void *right)
{
	const struct group *a = left, *b = right;
	int way = 0;

	if (sort_key & BY_PHASE)
		way = compare(a->phase, b->phase);
	if (!way && (sort_key & BY_BUCKET))
		way = compare(a->bucket, b->bucket);
	if (!way && (sort_key & BY_MODULE))
		way = compare(a->module, b->module);
	if (!way && (sort_key & BY_SHAPE))
		way = compare(a->shape, b->shape);
	if (!way && (sort_key & (BY_SHAPE | BY_DTYPE)))
		way = compare(a->dtype, b->dtype);
	/* A row of a backward names its operator. */
	if (!way && (sort_key & BY_OP ||
	             (sort_key & BY_PATTERN && in_backward(a) && in_backward(b))))
		way = compare(a->op, b->op);
	if (!way && (sort_key & BY_PATTERN))
		way = compare(a->line, b->line);
	if (!way && (sort_key & BY_OWNER))
		way = compare(a->owner, b->owner);
	if (!way && (sort_key & BY_SCOPE))
		way = compare(a->scope, b->scope);
	if (!way && (sort_key & BY_STACK))
		way = order(a->stack, b->stack);
	if (!way && (sort_key & BY_STACK))
		way = order(a->native_stack, b->native_stack);
	return way;
}

static int by_bytes(const void *left, const void *right)
{
	const struct group *a = left, *b = right;
	int way = order(b->bytes, a->bytes);
	return way ? way : by_key(left, right);
}

static void keep_common(const char **into, const char *other)
{
	if (compare(*into, other))
		*into = NULL;
}

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), wanted = strlen(end);
	return length >= wanted && !strcmp(text + length - wanted, end);
}

/* '...weight exp_avg' and '...weight exp_avg_sq' are both '...weight exp_avg*'; names
 * with nothing in common are the first of them and dots. */
static void keep_beginning(struct groups *groups, const char **into, const char *other)
{
	size_t same = 0;

	if (!*into || !other || !strcmp(*into, other)) {
		keep_common(into, other);
		return;
	}
	if (ends_with(*into, sign(DOTS)))
		return; /* it stands for unlike names already */
	while ((*into)[same] && (*into)[same] == other[same])
		same++;
	if (same && (*into)[same] == '*' && !(*into)[same + 1])
		return; /* it ends where it ended before */
	*into = keep_text(groups, same ? format_text("%.*s*", (int)same, *into)
	                               : format_text("%s, %s", *into, sign(DOTS)));
}

static void merge(struct groups *groups, struct group *into, int64_t *largest,
                  const struct group *from, unsigned by)
{
	if (from->bytes > *largest) {
		*largest = from->bytes;
		into->largest_stack = from->largest_stack;
		into->largest = from->largest;
	}
	into->bytes += from->bytes;
	into->blocks += from->blocks;
	keep_common(&into->phase, from->phase);
	keep_common(&into->bucket, from->bucket);
	keep_common(&into->module, from->module);
	keep_common(&into->op, from->op);
	keep_common(&into->shape, from->shape);
	keep_common(&into->dtype, from->dtype);
	keep_common(&into->scope, from->scope);
	keep_common(&into->line, from->line);
	if (by & BY_PATTERN)
		keep_beginning(groups, &into->owner, from->owner);
	else
		keep_common(&into->owner, from->owner);
	keep_common(&into->owner_kind, from->owner_kind);
	if (into->stack != from->stack)
		into->stack = -1;
	if (into->native_stack != from->native_stack)
		into->native_stack = -1;
}

void groups_make(struct trace *trace, const struct places *places,
                 const struct live *live, unsigned by, struct groups *groups)
{
	size_t made = 0;
	struct group *list = allocate(live->count * sizeof(*list));
	int64_t largest = 0;

	*groups = (struct groups){0};
	for (size_t i = 0; i < live->count; i++)
		list[i] = describe(trace, places, &live->sums[i], by, groups);
	sort_key = by;
	qsort(list, live->count, sizeof(*list), by_key);
	for (size_t i = 0; i < live->count; i++) {
		if (made && !by_key(&list[made - 1], &list[i])) {
			merge(groups, &list[made - 1], &largest, &list[i], by);
		} else {
			list[made++] = list[i];
			largest = list[i].bytes;
		}
	}
	qsort(list, made, sizeof(*list), by_bytes);
	groups->groups = list;
	groups->count = made;
}

void groups_free(struct groups *groups)
{
	for (size_t i = 0; i < groups->text_count; i++)
		free(groups->texts[i]);
	free(groups->texts);
	free(groups->groups);
}

/* "phase, module, stack or shape" */
static char *all_names(const struct key_name *names)
{
	char *text = copy_text("");

	for (const struct key_name *name = names; name->name; name++) {
		char *longer = format_text("%s%s%s", text,
		                           name == names  ? ""
		                           : name[1].name ? ", "
		                                          : " or ",
		                           name->name);
		free(text);
		text = longer;
	}
	return text;
}

static void refuse_key(const struct key_name *names, const char *word)
{
	const char *nearest = NULL;
	int best = 3;

	for (const struct key_name *name = names; name->name; name++)
		if (word_is_close(word, name->name, &best))
			nearest = name->name;
	if (nearest)
		fail(STATUS_USAGE, "'--by' has no key '%s'; did you mean '%s'?", word,
		     nearest);
	fail(STATUS_USAGE, "'--by' takes %s, several with commas between, not '%s'",
	     all_names(names), word);
}

unsigned groups_keys(const struct key_name *names, const char *list)
{
	unsigned by = 0;
	char word[32];

	do {
		size_t length = strcspn(list, ",");
		const struct key_name *name = names;
		snprintf(word, sizeof(word), "%.*s", (int)length, list);
		while (name->name && strcmp(name->name, word) != 0)
			name++;
		if (!name->name)
			refuse_key(names, word);
		by |= name->key;
		list += length;
	} while (*list++);
	return by;
}

unsigned groups_parse(const char *list)
{
	static const struct key_name keys[] = {{"phase", BY_PHASE},
	                                       {"bucket", BY_BUCKET},
	                                       {"module", BY_MODULE | BY_BELONGING},
	                                       {"stack", BY_STACK},
	                                       {"shape", BY_SHAPE},
	                                       {NULL, 0}};
	return groups_keys(keys, list);
}
