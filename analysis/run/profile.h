/* profile.h - cards that can be simulated: those of the list, and a user's own file. The
 * simulator checks a file's every value; here only what a verdict needs is read. */
#ifndef TIDEMARK_ANALYSIS_PROFILE_H
#define TIDEMARK_ANALYSIS_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct profile {
	char *gpu;     /* as it is asked for: "a100-80gb", or a file's name */
	char *path;    /* absolute */
	char *product; /* "NVIDIA A100-SXM4-80GB"; NULL where the file says nothing */
	char *capability;                    /* "8.0"; NULL likewise */
	int64_t memory_bytes, context_bytes; /* 0 where the file says nothing */
	char *shape; /* the values that PyTorch sizes its scratch memory by, as one text */
};

/* The folder of profiles, beside the command or where it was installed; NULL. */
char *profile_folder(void);

/* Every card of the list that can be simulated, smallest memory first. */
struct profile *profiles_load(size_t *count);
void profiles_free(struct profile *profiles, size_t count);

/* A card by a name that it goes by, or by its file. Ends the program with status 2 and one
 * sentence where there is none, or where several go by the name. */
struct profile profile_find(const char *name);
void profile_free(struct profile *profile);

#endif
