/* protobuf.c - protobuf messages, written field by field.
 *
 * Source of the encoding: protobuf.dev/programming-guides/encoding; docs/dependencies.md says why it
 * is not a library's.
 * Called from: perfetto.c, pprof.c. */
#include "protobuf.h"

#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "utf8.h"

enum wire { VARINT = 0, FIXED64 = 1, LENGTH = 2 };

static void put(struct message *message, const void *bytes, size_t count)
{
	while (message->length + count > message->room) {
		message->room = message->room ? 2 * message->room : 256;
		message->bytes = resize(message->bytes, message->room);
	}
	if (count)
		memcpy(message->bytes + message->length, bytes, count);
	message->length += count;
}

static size_t varint(uint64_t number, unsigned char bytes[10])
{
	size_t count = 0;

	do {
		bytes[count++] =
		        (unsigned char)((number & 0x7f) | (number > 0x7f ? 0x80 : 0));
		number >>= 7;
	} while (number);
	return count;
}

static void put_varint(struct message *message, uint64_t number)
{
	unsigned char bytes[10];

	put(message, bytes, varint(number, bytes));
}

static void put_tag(struct message *message, int field, enum wire wire)
{
	put_varint(message, (uint64_t)field << 3 | wire);
}

void message_number(struct message *message, int field, int64_t number)
{
	put_tag(message, field, VARINT);
	put_varint(message, (uint64_t)number);
}

void message_fixed(struct message *message, int field, uint64_t number)
{
	unsigned char bytes[8];

	put_tag(message, field, FIXED64);
	for (int i = 0; i < 8; i++)
		bytes[i] = (unsigned char)(number >> 8 * i);
	put(message, bytes, 8);
}

static void put_bytes(struct message *message, int field, const void *bytes,
                      size_t count)
{
	put_tag(message, field, LENGTH);
	put_varint(message, count);
	put(message, bytes, count);
}

void message_text(struct message *message, int field, const char *text)
{
	char *clean = utf8_clean(text);

	put_bytes(message, field, clean, strlen(clean));
	free(clean);
}

void message_inside(struct message *message, int field, const struct message *inner)
{
	put_bytes(message, field, inner->bytes, inner->length);
}

void message_numbers(struct message *message, int field, const int64_t *numbers,
                     size_t count)
{
	struct message packed = {0};

	for (size_t i = 0; i < count; i++)
		put_varint(&packed, (uint64_t)numbers[i]);
	message_inside(message, field, &packed);
	message_free(&packed);
}

void message_send(struct message *message, int field, FILE *out)
{
	unsigned char head[20];
	size_t count = varint((uint64_t)field << 3 | LENGTH, head);

	count += varint(message->length, head + count);
	fwrite(head, 1, count, out);
	fwrite(message->bytes, 1, message->length, out);
	message_empty(message);
}

void message_empty(struct message *message)
{
	message->length = 0;
}

void message_free(struct message *message)
{
	free(message->bytes);
	*message = (struct message){0};
}
