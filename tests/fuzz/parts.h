/* parts.h - an input made of several: each a length in four bytes, little-endian, then as many
 * bytes. What is cut off is empty. */
#ifndef TIDEMARK_FUZZ_PARTS_H
#define TIDEMARK_FUZZ_PARTS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where the files of one input are made. */
static inline const char *fuzz_folder(void)
{
	const char *folder = getenv("FUZZ_FOLDER");
	return folder ? folder : "/dev/shm";
}

struct part {
	unsigned char *data;
	size_t size;
};

static inline struct part read_whole(const char *path)
{
	struct part all = {malloc(1 << 20), 0};
	FILE *f = fopen(path, "rb");
	if (!f || !all.data)
		exit(2);
	all.size = fread(all.data, 1, 1 << 20, f);
	fclose(f);
	return all;
}

static inline struct part next_part(struct part *all)
{
	uint32_t size = 0;
	struct part p;
	if (all->size >= sizeof(size)) {
		memcpy(&size, all->data, sizeof(size));
		all->data += sizeof(size);
		all->size -= sizeof(size);
	}
	p = (struct part){all->data, size < all->size ? size : all->size};
	all->data += p.size;
	all->size -= p.size;
	return p;
}

#endif
