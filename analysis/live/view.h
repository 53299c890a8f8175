/* view.h - a look, as a screen, a line, or a document. */
#ifndef TIDEMARK_ANALYSIS_VIEW_H
#define TIDEMARK_ANALYSIS_VIEW_H

#include <stdio.h>

#include "look.h"

/* device: the name of the one to show; NULL: all. interval_ns: time between two looks. */
struct showing {
	const char *device;
	const char *quit; /* how to */
	int64_t interval_ns,
	        slower_ns; /* asked for, and what it became; slower_ns 0: the same */
};

/* The whole screen: lines, each with its end. */
void view_print(const struct look *look, const struct showing *showing, FILE *out);

/* One line for each device. */
void view_line(const struct look *look, const struct showing *showing, FILE *out);

/* One JSON document on one line. */
void view_json(const struct look *look, const struct showing *showing, FILE *out);

/* "the run goes on", "ended", "was killed": one word for JSON, and a sentence for people, the
 * caller's text. */
const char *view_state(const struct look *look);
char *view_end(const struct look *look, const struct showing *showing);

#endif
