/* files.h - SQLite's system calls on the trace, made safe in somebody else's process. */
#ifndef TIDEMARK_TRACER_FILES_H
#define TIDEMARK_TRACER_FILES_H

#include <stdbool.h>

/* For sqlite3_vfs.xSetSystemCall, each under SQLite's name for it; ended by a NULL. */
extern const struct tmk_guarded_call {
	const char *name;
	void (*call)(void);
} tmk_guarded_calls[];

/* How long SQLite may wait from now on, in all, for locks that somebody else holds or that
 * the file system refuses. It counts its tries, not the time: they add up to ten seconds. */
void tmk_files_patience(int milliseconds);
/* sqlite3_vfs.xSleep: at once where patience has run out, or a file is lost. */
struct sqlite3_vfs;
int tmk_files_sleep(struct sqlite3_vfs *vfs, int microseconds);

/* Has the program closed one of them? Then nothing is written any more. A system call for
 * each file. */
bool tmk_files_lost(void);

/* Has somebody taken the pages of a file that SQLite had mapped? Nothing is written then, either. */
bool tmk_files_cut(void);

/* In a forked child: gives up the inherited descriptors, with which the parent's locks
 * would outlive the parent. SQLite is not told: the child leaves the parent's alone. */
void tmk_files_forked(void);

#endif
