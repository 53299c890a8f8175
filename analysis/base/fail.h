/* fail.h - how the command ends when it can't answer. */
#ifndef TIDEMARK_ANALYSIS_FAIL_H
#define TIDEMARK_ANALYSIS_FAIL_H

#include <stdbool.h>

enum status {
	STATUS_DONE = 0,
	STATUS_NO = 1, /* the answer to the question is "no" */
	STATUS_USAGE = 2,
	STATUS_UNREADABLE = 3,
	STATUS_PROGRAM = 4, /* `simulate`: the program failed, with 1, 2 or 3 */
};

/* "tidemark: …" on stderr, then exit. Nothing half-written reaches stdout: screens and
 * JSON are collected first (screen.h). */
void fail(enum status status, const char *format, ...)
        __attribute__((format(printf, 2, 3), noreturn));

/* "tidemark: …" on stderr, and on; silent under --quiet. */
void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void warn(const char *format, ...) __attribute__((format(printf, 1, 2)));

extern bool quiet; /* --quiet */

/* Called before fail() writes: gives the terminal back. NULL: nothing is. */
extern void (*fail_first)(void);

#endif
