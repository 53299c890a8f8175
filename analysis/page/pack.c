/* pack.c - numbers packed into bytes for the page, and bytes as base64.
 * Called from: device.c, shape.c. */
#include "pack.h"

#include <stdlib.h>
#include <string.h>

#include "heap.h"

static void make_room(struct pack *pack, size_t more)
{
	if (pack->count + more <= pack->room)
		return;
	pack->room = 2 * (pack->count + more) + 1024;
	pack->bytes = resize(pack->bytes, pack->room);
}

void pack_number(struct pack *pack, uint64_t number)
{
	make_room(pack, 10);
	while (number >= 0x80) {
		pack->bytes[pack->count++] = (unsigned char)(number | 0x80);
		number >>= 7;
	}
	pack->bytes[pack->count++] = (unsigned char)number;
}

void pack_signed(struct pack *pack, int64_t number)
{
	uint64_t sign = number < 0 ? UINT64_MAX : 0;
	pack_number(pack, (uint64_t)number << 1 ^ sign);
}

void pack_append(struct pack *pack, const struct pack *other)
{
	make_room(pack, other->count);
	if (other->count)
		memcpy(pack->bytes + pack->count, other->bytes, other->count);
	pack->count += other->count;
}

char *pack_base64(const struct pack *pack)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	                             "abcdefghijklmnopqrstuvwxyz0123456789+/";
	char *text = allocate(pack->count / 3 * 4 + 5), *to = text;

	for (size_t i = 0; i < pack->count; i += 3) {
		const unsigned char *at = pack->bytes + i;
		size_t left = pack->count - i;
		unsigned three = (unsigned)at[0] << 16 |
		                 (left > 1 ? (unsigned)at[1] << 8 : 0) |
		                 (left > 2 ? at[2] : 0);
		*to++ = digits[three >> 18];
		*to++ = digits[three >> 12 & 63];
		*to++ = left > 1 ? digits[three >> 6 & 63] : '=';
		*to++ = left > 2 ? digits[three & 63] : '=';
	}
	return text;
}

void pack_free(struct pack *pack)
{
	free(pack->bytes);
	*pack = (struct pack){0};
}
