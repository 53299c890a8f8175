/* gzip.c - a file of gzip's, its content as it stands: a profile is small, and its readers ask for
 * gzip's form. Source: RFC 1952, and RFC 1951 for blocks that are stored.
 * Called from: pprof.c. */
#include "gzip.h"

#include <stdint.h>

enum { BLOCK = 65535 };

static uint32_t crc32_of(const unsigned char *bytes, size_t count)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < count; i++) {
		crc ^= bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
	}
	return ~crc;
}

static void little(FILE *out, uint32_t number, int bytes)
{
	for (int i = 0; i < bytes; i++)
		fputc((int)(number >> 8 * i & 0xff), out);
}

void gzip_store(FILE *out, const unsigned char *bytes, size_t count)
{
	static const unsigned char head[10] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255};
	size_t at = 0;

	fwrite(head, 1, sizeof(head), out);
	do {
		size_t length = count - at < BLOCK ? count - at : BLOCK;
		fputc(at + length == count, out); /* the last one; stored */
		little(out, (uint32_t)length, 2);
		little(out, ~(uint32_t)length, 2);
		fwrite(bytes + at, 1, length, out);
		at += length;
	} while (at < count);
	little(out, crc32_of(bytes, count), 4);
	little(out, (uint32_t)count, 4);
}
