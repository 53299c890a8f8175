/* replayed.h - a script given to a model of PyTorch's caching allocator, edited or not. */
#ifndef TIDEMARK_ANALYSIS_REPLAYED_H
#define TIDEMARK_ANALYSIS_REPLAYED_H

#include "rules.h"
#include "script.h"

/* A piece that the script does not have: taken before the act `from`, given back before
 * the act `to` (-1: never). */
struct extra {
	int64_t bytes;
	int32_t from, to;
	uint8_t stream;
};

/* What is different. The arrays are the caller's and belong to the pieces of one script:
 * an edit changes them and sets them back (edit_clear); nothing is copied. */
struct edit {
	int64_t *
	        bytes; /* by piece: what it asks for instead; 0: dropped; -1: as it was */
	int32_t *
	        given; /* by piece: the act before which it is given back; EDIT_AS_WAS */
	struct extra *extras; /* in any order; replay sorts them by from */
	size_t extra_count, extra_room;
	bool empty_cache_each_step;
	int32_t *touched; /* pieces that were changed: for edit_clear */
	size_t touched_count, touched_room;
};
enum { EDIT_AS_WAS = -1 };

void edit_begin(const struct script *script, struct edit *edit);
void edit_clear(struct edit *edit);
void edit_free(struct edit *edit);
void edit_bytes(struct edit *edit, int32_t piece, int64_t bytes); /* 0 drops it */
void edit_given(struct edit *edit, int32_t piece, int32_t act);
/* The same, where it would have been given back later or never; false: it was gone by then. */
bool edit_given_by(struct edit *edit, const struct script *script, int32_t piece,
                   int32_t act);
void edit_extra(struct edit *edit, struct extra extra);

struct replayed {
	bool fits;   /* every act was served to the script's end */
	int32_t act; /* the first that was refused; -1 */
	int64_t peak_allocated, peak_reserved; /* bytes, up to there */
	int32_t peak_act;   /* at which peak_allocated was reached; -1 */
	int64_t peak_since; /* peak_allocated from the refused step on; bytes */
	int64_t retries; /* how often cached memory was given back to serve a request */
};

/* edit NULL: as it was. unbounded: the device has memory without end (for what a lever
 * needs rather than whether it fits). */
void replay_script(const struct script *script, const struct rules *rules,
                   const struct edit *edit, bool unbounded, struct replayed *replayed);

/* The model held against the trace: replayed with nothing edited, reserved bytes at each sample,
 * and the refusal. */
struct agreement {
	int64_t samples, differing; /* of reserved bytes */
	int64_t worst;              /* bytes, the largest difference */
	int32_t first_step;         /* of the first difference; -1 */
	bool refusal;  /* true: none asked about, or refused at the same request */
	bool agrees;   /* all samples, and the refusal */
	char why[160]; /* a sentence where it does not, or where no replay is possible */
};
/* Loads the rules and the script up to a refusal (script_load()), and checks the one with the
 * other. */
void replay_load(struct trace *trace, const struct device *device, int64_t oom,
                 struct rules *rules, struct script *script,
                 struct agreement *agreement);

#endif
