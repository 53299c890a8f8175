/* scratch.h - temporary files that are gone when the command ends. */
#ifndef TIDEMARK_ANALYSIS_SCRATCH_H
#define TIDEMARK_ANALYSIS_SCRATCH_H

/* A path for a new file in a private folder under $TMPDIR; NULL where none can be made.
 * The caller's text; all of the folder goes at exit. */
char *scratch_path(void);

/* A path of this name in that folder, likewise. */
char *scratch_file(const char *name);

/* A copy of a trace and of its write-ahead log; NULL where it can't be made. */
char *scratch_copy(const char *trace);

#endif
