/* used.h - the places, owners and stacks that a page names: numbered from 0 as they are first
 * used, and written once. */
#ifndef TIDEMARK_ANALYSIS_USED_H
#define TIDEMARK_ANALYSIS_USED_H

#include "site.h"

struct used {
	const struct places
	        *places;           /* of the device that is told now; must outlive it */
	int64_t *site_number;      /* by index of places->sites; -1: not used */
	int64_t *owner_number;     /* by index of places->tensors */
	const struct site **sites; /* by number */
	const struct tensor **owners;
	size_t site_count, owner_count;
};

void used_begin(const struct places *places, struct used *used);
void used_free(struct used *used);

/* The number of a place plus one, of the owner of a block plus one; 0: not known. */
uint64_t used_site(struct used *used, int64_t site);
uint64_t used_owner(struct used *used, const struct block *block, int64_t bucket);

/* "sites", "owners", "stacks" and "frames", of which the first three point into the others by
 * number; -1: none. */
void used_json(struct trace *trace, const struct used *used, struct json *json);

#endif
