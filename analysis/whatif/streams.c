/* streams.c - which pieces of a script came from one stream.
 *
 * Streams are not recorded. The allocator keeps free blocks by stream, so a segment's blocks
 * are all of one. The model is run with all segments of one class. Where it would take a free
 * block that the run did not take, the segment of the one and that of the other are of two
 * streams; they are told apart, and the model begins again.
 * Called from: script.c. */
#include "streams.h"

#include <stdlib.h>

#include "allocator.h"
#include "heap.h"
#include "whatif_queries.h"

enum {
	MOST_ACTS = 200000, /* so many are looked at */
	MOST_TRIES = 100,
	CLASSES = 8,
	UNKNOWN = -1,
};

/* An event of a step. */
struct instant {
	int64_t step, ordinal;
};

struct lot { /* a segment, or the address space of an expandable one */
	struct instant born, died;
	int64_t address, bytes;
	int64_t page; /* bytes of each page of an expandable one; else 0 */
	uint8_t class;
};

struct finding {
	struct script *script;
	struct rules rules;
	struct lot *lots; /* in order of birth */
	size_t count, room;
	uint32_t *by_address;
	struct apart {
		uint32_t a, b;
	} * apart; /* lots of two streams */
	size_t apart_count, apart_room;
};

static bool earlier(struct instant a, struct instant b)
{
	return a.step < b.step || (a.step == b.step && a.ordinal < b.ordinal);
}

static int by_address(const void *left, const void *right, void *context)
{
	const struct lot *lots = context;
	const struct lot *a = &lots[*(const uint32_t *)left];
	const struct lot *b = &lots[*(const uint32_t *)right];

	if (a->address != b->address)
		return a->address < b->address ? -1 : 1;
	return earlier(a->born, b->born) ? -1 : earlier(b->born, a->born);
}

/* An expandable segment's first page is its lowest; those that follow lie in its space. */
static bool in_known_space(const struct finding *finding, int64_t address)
{
	for (size_t i = 0; i < finding->count; i++)
		if (finding->lots[i].page && address >= finding->lots[i].address &&
		    address < finding->lots[i].address + finding->lots[i].bytes)
			return true;
	return false;
}

static struct lot lot_in(struct rows *rows, int64_t total)
{
	struct lot lot = {
	        .address = rows_number_or(rows, 0, -1),
	        .bytes = rows_number(rows, 1),
	        .born = {rows_number(rows, 2), rows_number(rows, 3)},
	        .died = {rows_number_or(rows, 4, -1), rows_number_or(rows, 5, -1)}};

	if (!rows_number(rows, 6))
		return lot;
	lot.page = lot.bytes;
	lot.died.step = -1;
	lot.bytes = total > 0 ? total + total / 8 : (int64_t)1 << 40;
	return lot;
}

static void list_lots(struct finding *finding, struct trace *trace,
                      const struct device *device)
{
	struct rows *rows = db_rows(trace->db, sql_taken, "i", device->id);

	while (rows_next(rows)) {
		struct lot lot = lot_in(rows, finding->script->total);
		if (lot.address < 0 ||
		    (lot.page && in_known_space(finding, lot.address)))
			continue;
		finding->lots = grow(finding->lots, finding->count, &finding->room,
		                     sizeof(*finding->lots));
		finding->lots[finding->count++] = lot;
	}
	finding->by_address = allocate((finding->count + 1) * sizeof(uint32_t));
	for (size_t i = 0; i < finding->count; i++)
		finding->by_address[i] = (uint32_t)i;
	if (finding->count)
		qsort_r(finding->by_address, finding->count, sizeof(uint32_t),
		        by_address, finding->lots);
}

/* The lot at an address as it was at an instant. */
static int32_t find_lot(const struct finding *finding, int64_t address,
                        struct instant at)
{
	enum { NEAR = 16 }; /* segments that lay there before or after */
	size_t low = 0, high = finding->count;
	int32_t any = UNKNOWN;

	while (low < high) {
		size_t middle = (low + high) / 2;
		if (finding->lots[finding->by_address[middle]].address <= address)
			low = middle + 1;
		else
			high = middle;
	}
	for (size_t i = low; i > 0 && i + NEAR > low; i--) {
		uint32_t index = finding->by_address[i - 1];
		const struct lot *lot = &finding->lots[index];
		if (address >= lot->address + lot->bytes)
			continue;
		any = (int32_t)index;
		if (!earlier(at, lot->born) &&
		    (lot->died.step < 0 || earlier(at, lot->died)))
			return any;
	}
	return any;
}

static int32_t lot_of(const struct finding *finding, const struct piece *piece)
{
	return find_lot(finding, piece->address,
	                (struct instant){piece->step, piece->ordinal});
}

static void assign(struct finding *finding, size_t count)
{
	struct script *script = finding->script;

	for (size_t i = 0; i < count; i++) {
		int32_t lot = lot_of(finding, &script->pieces[i]);
		script->pieces[i].stream = lot < 0 ? 0 : finding->lots[lot].class;
	}
}

/* Each lot gets the first class in which none is that it must be apart from. */
static void colour(struct finding *finding)
{
	for (size_t i = 0; i < finding->count; i++) {
		bool barred[CLASSES] = {false};
		uint8_t class = 0;
		for (size_t j = 0; j < finding->apart_count; j++) {
			const struct apart *apart = &finding->apart[j];
			if (apart->a == i && apart->b < i)
				barred[finding->lots[apart->b].class] = true;
			if (apart->b == i && apart->a < i)
				barred[finding->lots[apart->a].class] = true;
		}
		while (class < CLASSES - 1 && barred[class])
			class ++;
		finding->lots[i].class = class;
	}
}

/* The model took a piece from one lot and the run from another. Returns whether that tells
 * two lots apart. */
static bool note_apart(struct finding *finding, int64_t address,
                       const struct piece *piece)
{
	int32_t mine = find_lot(finding, address,
	                        (struct instant){piece->step, piece->ordinal});
	int32_t its = lot_of(finding, piece);

	if (mine < 0 || its < 0 || mine == its ||
	    finding->lots[mine].class != finding->lots[its].class)
		return false;
	finding->apart = grow(finding->apart, finding->apart_count,
	                      &finding->apart_room, sizeof(*finding->apart));
	finding->apart[finding->apart_count++] =
	        (struct apart){(uint32_t)mine, (uint32_t)its};
	return true;
}

/* Up to the first piece that the model places elsewhere than the run did. */
static bool tell_apart(struct finding *finding, size_t exact)
{
	const struct script *script = finding->script;
	struct allocator *model =
	        allocator_new(&finding->rules, script_capacity(script));
	int32_t *blocks = allocate((script->count + 1) * sizeof(*blocks));
	bool found = false, empties = false;

	for (size_t i = 0; i < exact; i++) {
		int32_t act = script->acts[i];
		const struct piece *piece = act >= 0 ? &script->pieces[act] : NULL;
		bool was_empties = empties;
		empties = act == ACT_EMPTY;
		if (empties || act == ACT_REFUSED)
			continue;
		if (was_empties &&
		    (!piece || allocator_gives(model, piece_asked(piece),
		                               piece->stream) == GIVES_NOTHING))
			allocator_empty_cache(model);
		if (!piece) {
			allocator_give(model, blocks[~act]);
			continue;
		}
		blocks[act] = allocator_take_at(model, piece_asked(piece),
		                                piece->stream, piece->address);
		if (blocks[act] < 0)
			break;
		if (allocator_address(model, blocks[act]) != piece->address) {
			found = note_apart(
			        finding, allocator_address(model, blocks[act]), piece);
			break;
		}
	}
	allocator_free(model);
	free(blocks);
	return found;
}

/* Segments that were taken later are of the stream of the places that fill them. */
static void assign_rest(struct finding *finding, size_t exact, size_t pieces)
{
	struct script *script = finding->script;
	struct instant end = {-1, -1};
	uint8_t *by_site = NULL;
	int32_t most = 0;

	for (size_t i = 0; i < script->count; i++)
		if (script->pieces[i].site > most)
			most = script->pieces[i].site;
	by_site = allocate((size_t)most + 1);
	for (size_t i = 0; i < pieces; i++)
		if (script->pieces[i].site >= 0)
			by_site[script->pieces[i].site] = script->pieces[i].stream;
	if (exact && pieces)
		end = (struct instant){script->pieces[pieces - 1].step, INT64_MAX};
	for (size_t i = pieces; i < script->count; i++) {
		struct piece *piece = &script->pieces[i];
		int32_t lot = lot_of(finding, piece);
		if (lot >= 0 && !earlier(end, finding->lots[lot].born))
			piece->stream = finding->lots[lot].class;
		else if (piece->site >= 0)
			piece->stream = by_site[piece->site];
	}
	free(by_site);
}

/* Each address space is a class of its own among those with pages of its size. */
static void separate_spaces(struct finding *finding)
{
	for (size_t i = 0; i < finding->count; i++) {
		struct lot *lot = &finding->lots[i];
		for (size_t j = 0; j < i; j++)
			lot->class += finding->lots[j].page == lot->page &&
			              lot->class < CLASSES - 1;
	}
	assign(finding, finding->script->count);
}

void streams_find(struct trace *trace, const struct device *device,
                  const struct rules *rules, struct script *script, size_t exact)
{
	struct finding finding = {.script = script, .rules = *rules};
	size_t pieces = 0;

	if (exact > MOST_ACTS)
		exact = MOST_ACTS;
	for (size_t i = 0; i < exact; i++)
		if (script->acts[i] >= 0 && (size_t)script->acts[i] >= pieces)
			pieces = (size_t)script->acts[i] + 1;
	list_lots(&finding, trace, device);
	if (finding.rules.expandable) {
		separate_spaces(&finding);
	} else {
		for (int i = 0; i < MOST_TRIES && tell_apart(&finding, exact); i++) {
			colour(&finding);
			assign(&finding, pieces);
		}
		if (finding.apart_count)
			assign_rest(&finding, exact, pieces);
	}
	free(finding.lots);
	free(finding.by_address);
	free(finding.apart);
}
