/* rules.c - what PyTorch's native caching allocator does, by its settings. They were held against runs of
 * 2.6 and 2.11, where they are the same.
 * Source: c10/cuda/CUDAAllocatorConfig.cpp.
 * Called from: replayed.c, within.c. */
#include "rules.h"

#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "whole.h"

#define MIB ((int64_t)1 << 20)

static const char async_pool[] =
        "memory came from cudaMallocAsync: its pool is not replayed";

/* The value behind "name:", up to a comma outside brackets; NULL. The caller's. */
static char *setting(const char *text, const char *name)
{
	size_t length = strlen(name);

	for (const char *at = text; at && (at = strstr(at, name)); at += length) {
		const char *end;
		int depth = 0;
		if ((at > text && at[-1] != ',' && at[-1] != ' ') || at[length] != ':')
			continue;
		at += length + 1;
		for (end = at; *end && (*end != ',' || depth); end++)
			depth += (*end == '[') - (*end == ']');
		return format_text("%.*s", (int)(end - at), at);
	}
	return NULL;
}

/* "8", or "[256:1,512:2,>:4]" by size in MiB: the table begins at 1 MiB. */
static void read_divisions(const char *text, struct rules *rules)
{
	int last = 0;

	for (int i = 0; i < 16; i++)
		rules->roundup_divisions[i] = *text == '[' ? 0 : atoi(text);
	if (*text != '[')
		return;
	for (const char *at = text + 1; *at && *at != ']';) {
		char *end;
		int64_t size = *at == '>' ? 0 : strtoll(at, &end, 10);
		const char *colon = strchr(at, ':');
		int divisions, upto = 16;
		if (!colon)
			return;
		divisions = atoi(colon + 1);
		for (int i = 0; size && i < 16; i++)
			if ((int64_t)1 << i == size)
				upto = i;
		if (*at == '>')
			upto = 16;
		for (int i = last; i < upto; i++)
			rules->roundup_divisions[i] = divisions;
		if (upto < 16)
			rules->roundup_divisions[upto] = divisions;
		last = upto;
		at = strchr(colon, ',') ? strchr(colon, ',') + 1 : "";
	}
}

static void read_settings(const char *text, struct rules *rules)
{
	char *value;

	if ((value = setting(text, "expandable_segments")))
		rules->expandable = !strcmp(value, "True");
	free(value);
	if ((value = setting(text, "max_split_size_mb")))
		rules->max_split = strtoll(value, NULL, 10) * MIB;
	free(value);
	if ((value = setting(text, "max_non_split_rounding_mb")))
		rules->max_non_split_rounding = strtoll(value, NULL, 10) * MIB;
	free(value);
	if ((value = setting(text, "garbage_collection_threshold")))
		rules->collect = strtod(value, NULL);
	free(value);
	if ((value = setting(text, "roundup_power2_divisions")))
		read_divisions(value, rules);
	free(value);
	if ((value = setting(text, "backend")) && !strcmp(value, "cudaMallocAsync"))
		rules->unknown = async_pool;
	free(value);
}

/* Did memory of the device come by a call of this name (a pattern of LIKE)? */
static bool took_by(struct trace *trace, const struct device *device, const char *call)
{
	return rows_first(db_rows(trace->db,
	                          "SELECT count(*) FROM segment WHERE device = ? AND "
	                          "host = 0 AND kind LIKE ?",
	                          "it", device->id, call),
	                  0) > 0;
}

/* Without a memory fraction nothing is collected. Python is asked for it at its first look, if it can
 * be; PyTorch 2.6 was the first that tells it. */
static void read_allowed(struct trace *trace, const struct device *device,
                         struct rules *rules)
{
	double fraction = trace_memory_fraction(trace, device);

	if (!trace_knows_fraction(trace, device))
		rules->unknown =
		        "garbage_collection_threshold is set, and the trace does "
		        "not have the memory fraction that it is a share of";
	else if (fraction < 1 && device->total_bytes > 0)
		rules->allowed = whole_of(fraction * (double)device->total_bytes);
}

bool rules_otherwise(const struct rules *rules, int64_t total, struct rules *other)
{
	*other = *rules;
	other->allowed = total;
	return rules->collect > 0 && !rules->allowed && !rules->unknown && total > 0;
}

void rules_load(struct trace *trace, const struct device *device, struct rules *rules)
{
	char *settings = rows_first_text(db_rows(
	        trace->db, "SELECT value FROM meta WHERE key = 'alloc_conf'", ""));

	*rules = (struct rules){.max_split = INT64_MAX,
	                        .max_non_split_rounding = 20 * MIB};
	if (settings)
		read_settings(settings, rules);
	free(settings);
	/* Set by the program itself, its calls show it. */
	if (took_by(trace, device, "cuMemCreate"))
		rules->expandable = true;
	if (took_by(trace, device, "cudaMallocAsync%"))
		rules->unknown = async_pool;
	if (rules->collect > 0 && !rules->unknown)
		read_allowed(trace, device, rules);
}
