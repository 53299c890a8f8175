/* side.c - one of two runs that are held beside each other.
 *
 * Two traces share no number: stacks, sites and modules are found again by what they are called.
 * Files are told from the folder of the script, since two machines have the same program at two
 * places, and from the library's folder inside site-packages. Names lose what wrappers put into
 * them (DDP, FSDP, torch.compile), since they come and go without changing the model.
 * Called from: compare/, job/. */
#include "side.h"

#include <stdlib.h>
#include <string.h>

#include "frames.h"
#include "group.h"
#include "heap.h"

struct spot {
	int64_t stack;
	struct line line;
	const char *file; /* part of line.file */
};

static char *keep(struct side *side, char *text)
{
	side->texts = grow(side->texts, side->text_count, &side->text_room,
	                   sizeof(*side->texts));
	return side->texts[side->text_count++] = text;
}

/* The folder of a script, with a slash at its end: "/home/a/project/". */
static char *folder_of(const char *script, const char *cwd)
{
	const char *slash = script ? strrchr(script, '/') : NULL;

	if (!script || !*script || *script == '-')
		return NULL;
	if (*script == '/')
		return format_text("%.*s", (int)(slash - script + 1), script);
	while (!strncmp(script, "./", 2))
		script += 2;
	slash = strrchr(script, '/');
	if (!cwd || !strncmp(script, "../", 3))
		return NULL;
	return format_text("%s/%.*s", cwd, (int)(slash ? slash - script + 1 : 0),
	                   script);
}

void side_load(struct trace *trace, const struct device *device, struct side *side)
{
	char *script =
	        rows_first_text(db_rows(trace->db, "SELECT script FROM run", ""));
	char *cwd = rows_first_text(db_rows(trace->db, "SELECT cwd FROM run", ""));

	*side = (struct side){.trace = trace, .device = device};
	places_load(trace, device->name, &side->places);
	side->folder = folder_of(script, cwd);
	side->cwd = cwd ? format_text("%s/", cwd) : NULL;
	free(script);
	free(cwd);
}

void side_free(struct side *side)
{
	for (size_t i = 0; i < side->spot_count; i++)
		line_free(&side->spots[i].line);
	for (size_t i = 0; i < side->text_count; i++)
		free(side->texts[i]);
	free(side->texts);
	free(side->spots);
	free(side->folder);
	free(side->cwd);
	places_free(&side->places);
}

static const char *after(const char *file, const char *folder)
{
	size_t length = folder ? strlen(folder) : 0;
	return length && !strncmp(file, folder, length) ? file + length : NULL;
}

/* The part of a path that another machine has too. */
static const char *relative(const struct side *side, const char *file)
{
	static const char *const libraries[] = {"/site-packages/", "/dist-packages/"};
	const char *rest, *last, *one;

	for (size_t i = 0; i < sizeof(libraries) / sizeof(*libraries); i++)
		if ((rest = strstr(file, libraries[i])))
			return rest + strlen(libraries[i]);
	rest = after(file, side->folder);
	if (!rest)
		rest = after(file, side->cwd);
	if (rest)
		return rest;
	/* Elsewhere: the file and the folder that it is in. */
	last = strrchr(file, '/');
	if (!last)
		return file;
	for (one = last; one > file && one[-1] != '/'; one--)
		;
	return one;
}

/* Many places are of one stack, and looking for a stack's line asks the trace. */
static const struct spot *spot_of(struct side *side, int64_t stack)
{
	struct spot *spot;

	for (size_t i = 0; i < side->spot_count; i++)
		if (side->spots[i].stack == stack)
			return &side->spots[i];
	side->spots = grow(side->spots, side->spot_count, &side->spot_room,
	                   sizeof(*side->spots));
	spot = &side->spots[side->spot_count++];
	*spot = (struct spot){.stack = stack, .line = line_of(side->trace, stack)};
	if (spot->line.file)
		spot->file = relative(side, spot->line.file);
	return spot;
}

/* Takes a component of a dotted name out of it, in place. */
static void drop_part(char *name, const char *part, bool first_only)
{
	size_t length = strlen(part);

	for (char *at = name; *at;) {
		size_t here = strcspn(at, ".");
		if (here == length && !strncmp(at, part, length) && at[here]) {
			memmove(at, at + here + 1, strlen(at + here + 1) + 1);
		} else {
			if (first_only)
				return;
			at += here + (at[here] == '.');
		}
		if (first_only)
			return;
	}
}

/* A tensor's or module's name without what wrappers add to it. */
static const char *plain_name(struct side *side, const char *name)
{
	char *text;

	if (!name || (strncmp(name, "module.", 7) != 0 && !strstr(name, "_orig_mod") &&
	              !strstr(name, "_wrapped_module")))
		return name;
	text = keep(side, copy_text(name));
	drop_part(text, "_orig_mod", false);
	drop_part(text, "_fsdp_wrapped_module", false);
	drop_part(text, "_checkpoint_wrapped_module", false);
	drop_part(text, "module", true);
	return text;
}

static struct thing describe(struct side *side, const struct sum *sum)
{
	const struct site *site = places_site(&side->places, sum->site);
	struct thing thing = {.bytes = sum->bytes,
	                      .blocks = sum->blocks,
	                      .bucket = trace_bucket(side->trace, sum->bucket),
	                      .place = sum->owner ? sum->owner->name : NULL,
	                      .line = -1};

	if (site) {
		const struct spot *spot = spot_of(side, site->stack);
		thing.phase = trace_phase(side->trace, site->phase);
		thing.op = site->op;
		thing.shape = site->shape;
		thing.dtype = site->dtype;
		thing.file = spot->file;
		thing.own = spot->line.file;
		thing.line = spot->file ? spot->line.number : -1;
		if (!thing.place)
			thing.place = site->module;
	}
	thing.place = plain_name(side, thing.place);
	thing.pattern = thing.place && strpbrk(thing.place, "0123456789")
	                        ? keep(side, name_pattern(thing.place))
	                        : thing.place;
	return thing;
}

static int text_order(const char *a, const char *b)
{
	return a == b ? 0 : !a ? -1 : !b ? 1 : strcmp(a, b);
}

int thing_order(const struct thing *a, const struct thing *b, unsigned of)
{
	int way = 0;

	if (of & SAME_BUCKET)
		way = text_order(a->bucket, b->bucket);
	if (!way && (of & SAME_PLACE))
		way = text_order(a->place, b->place);
	if (!way && (of & SAME_PATTERN))
		way = text_order(a->pattern, b->pattern);
	if (!way && (of & SAME_OP))
		way = text_order(a->op, b->op);
	if (!way && (of & SAME_SHAPE))
		way = text_order(a->shape, b->shape);
	if (!way && (of & SAME_DTYPE))
		way = text_order(a->dtype, b->dtype);
	if (!way && (of & SAME_FILE))
		way = text_order(a->file, b->file);
	if (!way && (of & SAME_LINE))
		way = (a->line > b->line) - (a->line < b->line);
	return way;
}

static int by_all(const void *left, const void *right)
{
	return thing_order(left, right, SAME_ALL);
}

static int by_bytes(const void *left, const void *right)
{
	const struct thing *a = left, *b = right;

	if (a->bytes != b->bytes)
		return a->bytes < b->bytes ? 1 : -1;
	return by_all(left, right);
}

/* What the allocator counts and no row explains. */
static void add_unseen(struct things *things, int64_t bytes)
{
	struct thing unseen = {.bytes = bytes, .line = -1};

	unseen.bucket = things->thinned ? "thinned away"
	                : bytes < 0     ? "freed unseen"
	                                : "before tracing";
	things->list[things->count++] = unseen;
	things->bytes += bytes;
}

void side_alive(struct side *side, const struct step *step, int64_t ordinal,
                int64_t allocated, struct things *things)
{
	struct live live;
	size_t made = 0;

	*things = (struct things){0};
	things->thinned = live_at(side->trace, &side->places, side->device->id, step,
	                          ordinal, &live) != 0;
	things->list = allocate((live.count + 1) * sizeof(*things->list));
	for (size_t i = 0; i < live.count; i++)
		things->list[i] = describe(side, &live.sums[i]);
	if (live.count)
		qsort(things->list, live.count, sizeof(*things->list), by_all);
	for (size_t i = 0; i < live.count; i++) {
		struct thing *into = made ? &things->list[made - 1] : NULL;
		if (!into || by_all(into, &things->list[i])) {
			things->list[made++] = things->list[i];
			continue;
		}
		into->bytes += things->list[i].bytes;
		into->blocks += things->list[i].blocks;
		if (text_order(into->phase, things->list[i].phase))
			into->phase = NULL;
	}
	things->count = made;
	things->bytes = live.bytes;
	if (allocated != live.bytes)
		add_unseen(things, allocated - live.bytes);
	if (things->count)
		qsort(things->list, things->count, sizeof(*things->list), by_bytes);
	live_free(&live);
}
