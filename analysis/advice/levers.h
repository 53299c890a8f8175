/* levers.h - what would make a run fit: each lever an edit of the run, replayed. */
#ifndef TIDEMARK_ANALYSIS_LEVERS_H
#define TIDEMARK_ANALYSIS_LEVERS_H

#include "oom.h"

enum mark { MARK_FITS, MARK_UNKNOWN, MARK_SHORT };
extern const char *const mark_names[];

/* What somebody has seen who ran the program with the lever. */
struct verified {
	bool ran, fits;
	int64_t peak; /* bytes allocated */
	int64_t step;
	char *phase;
	int64_t until; /* the run was ended after this step; 0: it ended by itself */
	char *why;     /* it was run, and says nothing: why; else NULL */
};

struct lever {
	const char *id;       /* of INTERFACE.md */
	const char *lever;    /* a word for people: "smaller batch" */
	char *change, *basis; /* what to do, and what was edited */
	char *target;         /* the list to checkpoint, the model not to train; NULL */
	int64_t value;        /* a batch, a length, devices; 0: it has none */
	int64_t saves;        /* of the peak of allocated bytes, in the replay */
	int64_t peak;         /* allocated in the replay with it; -1: not replayed */
	int32_t peak_step;    /* in which it is reached, and the phase; -1 */
	enum phase_id peak_phase;
	bool reaches;  /* the replay came to its end with it, whatever that says */
	bool at_least; /* the peak is: the rest of the step is not known */
	enum mark mark;
	char *why;  /* of MARK_UNKNOWN and of what only delays; NULL */
	bool fault; /* removes one; else it buys room */
	bool little; /* saves much less than others do, and holes are not what is wrong */
	int cost; /* to the user: 0 a setting, 1 a line, 2 time, 3 precision, 4 machines */
	bool rough;         /* the edit is an estimate: never MARK_FITS */
	bool ends_stages;   /* lets go of the models of earlier stages */
	bool cures;         /* ends what grows with every step or turn */
	const char *unsure; /* why it may not apply at all: never MARK_FITS; NULL */
	struct line line;   /* of the user's code; file NULL: none */
	struct verified verified;
};

struct levers {
	struct lever *list; /* in the order in which to try them */
	size_t count, room;
	char *doubt;   /* why no mark is a fit: the replay is not the run; NULL */
	char *unknown; /* what of the rest of the step is not known; NULL */
	const char
	        *told_from; /* where the rest comes from: "step", "turn", ...; NULL */
	int64_t told_step;  /* which step that is; -1 */
	int64_t peak; /* allocated in the replay with nothing changed, memory without end */
	int64_t samples, differing; /* the replay held against the trace */
};

void lever_free(struct lever *lever); /* its texts */
void levers_make(struct trace *trace, const struct places *places,
                 const struct growth *growth, const struct oom *oom,
                 struct levers *levers);
/* In the order in which to try them; anew where some have been verified. */
void levers_sort(struct levers *levers);
void levers_free(struct levers *levers);

#endif
