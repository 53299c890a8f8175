/* pack.h - numbers packed into bytes for the page, and bytes as base64. */
#ifndef TIDEMARK_ANALYSIS_PACK_H
#define TIDEMARK_ANALYSIS_PACK_H

#include <stddef.h>
#include <stdint.h>

/* A growing row of bytes; {0} is an empty one. */
struct pack {
	unsigned char *bytes;
	size_t count, room;
};

/* Seven bits a byte, the low ones first, as LEB128. Negative numbers: pack_signed(), which has
 * the sign in the lowest bit. */
void pack_number(struct pack *pack, uint64_t number);
void pack_signed(struct pack *pack, int64_t number);
void pack_append(struct pack *pack, const struct pack *other);

/* All of it as base64, without line ends; the caller's. */
char *pack_base64(const struct pack *pack);
void pack_free(struct pack *pack);

#endif
