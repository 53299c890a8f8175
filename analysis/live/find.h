/* find.h - which trace `live` is to watch. */
#ifndef TIDEMARK_ANALYSIS_FIND_H
#define TIDEMARK_ANALYSIS_FIND_H

/* word: a file, the number of a traced process or of one that started it, or NULL: the newest
 * trace in this folder that is being written. The caller's text. Ends the program with status 3
 * where there is none. */
char *find_living(const char *word, const char *library);

#endif
