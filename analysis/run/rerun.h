/* rerun.h - the command that a trace recorded, ready to be run again on a simulated card. */
#ifndef TIDEMARK_ANALYSIS_RERUN_H
#define TIDEMARK_ANALYSIS_RERUN_H

#include "oom.h"

struct rerun {
	char **words; /* the command, and NULL */
	size_t count;
	char *text;          /* as one line */
	char *folder, *host; /* folder NULL: the current one; host NULL: not known */
	char *settings;      /* of the allocator; NULL: none were set */
	char *card;          /* a name for --gpu */
	char *product;       /* what the card is called; NULL: the trace does not say */
	int64_t memory, outside; /* bytes */
	int64_t rank, world;     /* world 0: no distributed job */
	int64_t devices;
};

/* What the trace says. Ends the program with status 2 where there is nothing to be run. */
void rerun_load(struct trace *trace, const struct oom *oom, struct rerun *rerun);
void rerun_free(struct rerun *rerun);

/* Is the trace of this machine? */
bool rerun_is_here(const struct rerun *rerun);

#endif
