/* launch.h - what `tidemark run` sets up before the program, and its waiting. */
#ifndef TIDEMARK_ANALYSIS_LAUNCH_H
#define TIDEMARK_ANALYSIS_LAUNCH_H

#include <stddef.h>

enum { CANNOT_RUN = 126, NOT_FOUND = 127 }; /* as shells say it */

/* The file that the shell's rules give for a command: the caller's text, or NULL with
 * CANNOT_RUN or NOT_FOUND in status. */
char *launch_lookup(const char *command, int *status);

/* LD_PRELOAD for a child: the library before what is there, but behind an ASan runtime,
 * which insists on being first. The caller's text. */
char *launch_preload(const char *library, const char *already);

/* Called in the child, whose pid will be the program's, before the program takes its place. NULL:
 * nothing is. */
extern void (*launch_before)(void);

/* Runs argv[0] found at path and waits; passes signals on. Returns what a shell would:
 * the exit status, or 128 plus the signal. If we are killed, the program gets `orphaned`,
 * or where that is 0 goes on. */
int launch_wait(const char *path, char **argv, int orphaned);

#endif
