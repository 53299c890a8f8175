/* site.c - where allocations come from, by name; and who owns a block.
 * Called from: advice/, answers/, commands/, compare/, export/, job/, live/, page/,
 *     reconcile/, run/, trace/, whatif/. */
#include "site.h"

#include <stdlib.h>
#include <string.h>

#include "alike.h"
#include "heap.h"
#include "trace_queries.h"

static uint64_t mix(uint64_t sum, uint64_t word)
{
	return (sum ^ word) * 0x9e3779b97f4a7c15u + 0x7f4a7c15u;
}

static uint64_t mix_text(uint64_t sum, const char *text)
{
	for (; text && *text; text++)
		sum = mix(sum, (unsigned char)*text);
	return mix(sum, 0);
}

/* Frames of C differ from version to version and from thread to thread: they don't count. */
static void number_place(struct site *site)
{
	uint64_t stack =
	        site->stack >= 0 ? (uint64_t)site->stack : ~(uint64_t)site->phase;

	site->by_stack = mix_text(mix(1, stack), site->module) | 1;
	site->by_line = mix_text(site->by_stack, site->op) | 1;
	site->by_module =
	        site->module ? mix_text(mix_text(2, site->module), site->op) | 1 : 0;
}

static void load_sites(struct trace *trace, struct places *places)
{
	size_t room = 0;
	struct alike alike;
	alike_load(trace, &alike);
	struct rows *rows = db_rows(trace->db, sql_sites, "");
	while (rows_next(rows)) {
		places->sites = grow(places->sites, places->site_count, &room,
		                     sizeof(*places->sites));
		places->sites[places->site_count++] = (struct site){
		        .id = rows_number(rows, 0),
		        .phase = rows_number(rows, 1),
		        .stack = alike_stack(&alike, rows_number_or(rows, 2, -1)),
		        .native_stack = rows_number_or(rows, 3, -1),
		        .module_id = rows_number_or(rows, 8, -1),
		        .module = rows_copy(rows, 4),
		        .class = rows_copy(rows, 10),
		        .op = rows_copy(rows, 5),
		        .shape = rows_copy(rows, 6),
		        .dtype = rows_copy(rows, 7),
		        .scope = rows_copy(rows, 9)};
		number_place(&places->sites[places->site_count - 1]);
	}
	alike_free(&alike);
}

static void load_tensors(struct trace *trace, const char *device, struct places *places)
{
	size_t room = 0;
	struct rows *rows = db_rows(trace->db, sql_tensors, "t", device);
	while (rows_next(rows)) {
		places->tensors = grow(places->tensors, places->tensor_count, &room,
		                       sizeof(*places->tensors));
		places->tensors[places->tensor_count++] =
		        (struct tensor){.address = rows_number(rows, 0),
		                        .bytes = rows_number(rows, 4),
		                        .step = rows_number_or(rows, 1, -1),
		                        .ordinal = rows_number_or(rows, 6, -1),
		                        .bucket = rows_number_or(rows, 5, -1),
		                        .name = rows_copy(rows, 2),
		                        .kind = rows_copy(rows, 3)};
	}
}

void places_load(struct trace *trace, const char *device, struct places *places)
{
	*places = (struct places){0};
	load_sites(trace, places);
	load_tensors(trace, device, places);
}

void places_free(struct places *places)
{
	for (size_t i = 0; i < places->site_count; i++) {
		free(places->sites[i].module);
		free(places->sites[i].class);
		free(places->sites[i].op);
		free(places->sites[i].shape);
		free(places->sites[i].dtype);
		free(places->sites[i].scope);
	}
	for (size_t i = 0; i < places->tensor_count; i++) {
		free(places->tensors[i].name);
		free(places->tensors[i].kind);
	}
	free(places->sites);
	free(places->tensors);
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

bool places_alike(const struct site *one, const struct site *other)
{
	/* A refused allocation may have been named before its phase was known. */
	return one == other ||
	       (one->stack == other->stack &&
	        (one->stack >= 0 || one->phase == other->phase) &&
	        same_text(one->op, other->op) && same_text(one->module, other->module));
}

static int by_id(const void *key, const void *entry)
{
	int64_t id = *(const int64_t *)key, other = ((const struct site *)entry)->id;
	return id < other ? -1 : id > other;
}

const struct site *places_site(const struct places *places, int64_t id)
{
	return places->site_count ? bsearch(&id, places->sites, places->site_count,
	                                    sizeof(*places->sites), by_id)
	                          : NULL;
}

/* Addresses are used again, also inside one step: did the look fall into this life? */
static bool looked_at(const struct block *block, const struct tensor *tensor)
{
	if (tensor->step < 0)
		return true;
	if (tensor->step < block->born_step ||
	    (block->died_step >= 0 && tensor->step > block->died_step))
		return false;
	if (tensor->ordinal < 0)
		return true;
	return !(tensor->step == block->born_step && tensor->ordinal <= block->born) &&
	       !(tensor->step == block->died_step && tensor->ordinal > block->died);
}

/* The first tensor at or after low that lay in the block, of its bucket. */
static const struct tensor *inside(const struct places *places,
                                   const struct block *block, int64_t bucket,
                                   size_t low)
{
	for (; low < places->tensor_count; low++) {
		const struct tensor *tensor = &places->tensors[low];
		if (tensor->address >= block->address + block->bytes)
			break;
		if (tensor->bucket == bucket && looked_at(block, tensor))
			return tensor;
	}
	return NULL;
}

const struct tensor *places_owner(const struct places *places,
                                  const struct block *block, int64_t bucket)
{
	size_t low = 0, high = places->tensor_count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		if (places->tensors[middle].address < block->address)
			low = middle + 1;
		else
			high = middle;
	}
	return inside(places, block, bucket, low);
}

const struct tensor *places_next(const struct places *places, const struct block *block,
                                 int64_t bucket, const struct tensor *before)
{
	const struct tensor *next = before;

	while (next && next->address == before->address)
		next = inside(places, block, bucket,
		              (size_t)(next - places->tensors) + 1);
	return next;
}
