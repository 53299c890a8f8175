/* used.c - the places, owners and stacks that a page names.
 * Called from: device.c, shape.c. */
#include "used.h"

#include <stdlib.h>

#include "frames.h"
#include "stack.h"
#include "heap.h"
#include "page_queries.h"

static int64_t *none_yet(size_t count)
{
	int64_t *numbers = allocate((count + 1) * sizeof(*numbers));
	for (size_t i = 0; i < count; i++)
		numbers[i] = -1;
	return numbers;
}

void used_begin(const struct places *places, struct used *used)
{
	*used = (struct used){.places = places};
	used->site_number = none_yet(places->site_count);
	used->owner_number = none_yet(places->tensor_count);
	used->sites = allocate((places->site_count + 1) * sizeof(struct site *));
	used->owners = allocate((places->tensor_count + 1) * sizeof(struct tensor *));
}

void used_free(struct used *used)
{
	free(used->site_number);
	free(used->owner_number);
	free(used->sites);
	free(used->owners);
}

uint64_t used_site(struct used *used, int64_t id)
{
	const struct site *site = places_site(used->places, id);
	int64_t *number;

	if (!site)
		return 0;
	number = &used->site_number[site - used->places->sites];
	if (*number < 0) {
		*number = (int64_t)used->site_count;
		used->sites[used->site_count++] = site;
	}
	return (uint64_t)*number + 1;
}

uint64_t used_owner(struct used *used, const struct block *block, int64_t bucket)
{
	const struct tensor *owner = places_owner(used->places, block, bucket);
	int64_t *number;

	if (!owner)
		return 0;
	number = &used->owner_number[owner - used->places->tensors];
	if (*number < 0) {
		*number = (int64_t)used->owner_count;
		used->owners[used->owner_count++] = owner;
	}
	return (uint64_t)*number + 1;
}

/* The trie of stacks, and which of its nodes are on the way out from a used one. */
struct trie {
	int64_t *id, *parent, *frame; /* by index; parent: an id, -1: none */
	int64_t *number;              /* as written; -1: not used */
	int64_t *frames;              /* ids of the used frames, in order */
	size_t count, room, written, frame_count;
};

static int64_t index_of(const struct trie *trie, int64_t id)
{
	size_t low = 0, high = trie->count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		if (trie->id[middle] < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < trie->count && trie->id[low] == id ? (int64_t)low : -1;
}

static void read_trie(struct trace *trace, struct trie *trie)
{
	struct rows *rows = db_rows(trace->db, sql_stack_nodes, "");
	while (rows_next(rows)) {
		if (trie->count == trie->room) {
			trie->room = trie->room ? 2 * trie->room : 1024;
			size_t size = trie->room * sizeof(int64_t);
			trie->id = resize(trie->id, size);
			trie->parent = resize(trie->parent, size);
			trie->frame = resize(trie->frame, size);
		}
		trie->id[trie->count] = rows_number(rows, 0);
		trie->parent[trie->count] = rows_number_or(rows, 1, -1);
		trie->frame[trie->count++] = rows_number(rows, 2);
	}
	trie->number = none_yet(trie->count);
}

/* Marks a stack and its callers. A damaged file may have a ring of parents: a marked one ends
 * the way. */
static void mark(struct trie *trie, int64_t stack)
{
	int64_t at = index_of(trie, stack);
	while (at >= 0 && trie->number[at] < 0) {
		trie->number[at] = 0;
		at = index_of(trie, trie->parent[at]);
	}
}

static int compare(const void *left, const void *right)
{
	int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
	return a < b ? -1 : a > b;
}

static int64_t frame_number(const struct trie *trie, int64_t frame)
{
	const int64_t *found =
	        trie->frame_count ? bsearch(&frame, trie->frames, trie->frame_count,
	                                    sizeof(frame), compare)
	                          : NULL;
	return found ? found - trie->frames : -1;
}

static void number_all(struct trie *trie)
{
	size_t unique = 0;

	trie->frames = allocate((trie->count + 1) * sizeof(int64_t));
	for (size_t i = 0; i < trie->count; i++) {
		if (trie->number[i] < 0)
			continue;
		trie->number[i] = (int64_t)trie->written++;
		trie->frames[trie->frame_count++] = trie->frame[i];
	}
	if (trie->frame_count)
		qsort(trie->frames, trie->frame_count, sizeof(int64_t), compare);
	for (size_t i = 0; i < trie->frame_count; i++)
		if (!i || trie->frames[i] != trie->frames[unique - 1])
			trie->frames[unique++] = trie->frames[i];
	trie->frame_count = unique;
}

static int64_t stack_number(const struct trie *trie, int64_t stack)
{
	int64_t at = index_of(trie, stack);
	return at < 0 ? -1 : trie->number[at];
}

/* Frames are written as a list of their own: a row of the table that is not there is written too,
 * without a name, so that the numbers hold. */
static void write_frames(struct trace *trace, const struct trie *trie,
                         struct json *json)
{
	size_t next = 0;
	struct rows *rows = db_rows(trace->db, sql_all_frames, "");

	json_array(json, "frames");
	while (rows_next(rows)) {
		int64_t number = frame_number(trie, rows_number(rows, 0));
		if (number < 0)
			continue;
		for (; next <= (size_t)number; next++) {
			bool known = next == (size_t)number;
			char *name = known && rows_text(rows, 1)
			                     ? function_name(rows_text(rows, 1))
			                     : NULL;
			json_array(json, NULL);
			json_text(json, NULL, name);
			free(name);
			json_text(json, NULL, known ? rows_text(rows, 2) : NULL);
			json_known(json, NULL,
			           known ? rows_number_or(rows, 3, -1) : -1);
			json_end(json);
		}
	}
	json_end(json);
}

static void write_stacks(struct trace *trace, const struct used *used,
                         struct json *json, struct trie *trie)
{
	read_trie(trace, trie);
	for (size_t i = 0; i < used->site_count; i++) {
		const struct site *site = used->sites[i];
		mark(trie, site->stack >= 0 ? site->stack : site->native_stack);
	}
	number_all(trie);
	json_array(json, "stacks");
	for (size_t i = 0; i < trie->count; i++) {
		if (trie->number[i] < 0)
			continue;
		json_array(json, NULL);
		json_number(json, NULL, stack_number(trie, trie->parent[i]));
		json_number(json, NULL, frame_number(trie, trie->frame[i]));
		json_end(json);
	}
	json_end(json);
	write_frames(trace, trie, json);
}

/* The user's own line that made what comes from a stack; null where none is known. */
static void write_line(struct trace *trace, struct json *json, int64_t stack)
{
	struct line line = line_of(trace, stack);
	char *text = line.file ? line_text(&line) : NULL;

	json_text(json, NULL, text);
	free(text);
	line_free(&line);
}

void used_json(struct trace *trace, const struct used *used, struct json *json)
{
	struct trie trie = {0};

	write_stacks(trace, used, json, &trie);
	json_array(json, "sites");
	for (size_t i = 0; i < used->site_count; i++) {
		const struct site *site = used->sites[i];
		int64_t stack = site->stack >= 0 ? site->stack : site->native_stack;
		json_array(json, NULL);
		json_number(json, NULL, site->phase);
		json_text(json, NULL, site->module);
		json_text(json, NULL, site->op);
		json_text(json, NULL, site->shape);
		json_text(json, NULL, site->dtype);
		json_text(json, NULL, site->scope);
		json_number(json, NULL, stack_number(&trie, stack));
		write_line(trace, json, site->stack);
		json_end(json);
	}
	json_end(json);
	json_array(json, "owners");
	for (size_t i = 0; i < used->owner_count; i++)
		json_text(json, NULL, used->owners[i]->name);
	json_end(json);
	free(trie.id);
	free(trie.parent);
	free(trie.frame);
	free(trie.number);
	free(trie.frames);
}
