/* protobuf.h - protobuf messages, written field by field. */
#ifndef TIDEMARK_ANALYSIS_PROTOBUF_H
#define TIDEMARK_ANALYSIS_PROTOBUF_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* A message that is being written; zeroed to begin with, and used again after it was sent. */
struct message {
	unsigned char *bytes;
	size_t length, room;
};

void message_number(struct message *message, int field,
                    int64_t number); /* int64, enum, bool */
void message_fixed(struct message *message, int field, uint64_t number); /* fixed64 */
void message_text(struct message *message, int field,
                  const char *text); /* made UTF-8 */
void message_inside(struct message *message, int field, const struct message *inner);

/* repeated int64, packed */
void message_numbers(struct message *message, int field, const int64_t *numbers,
                     size_t count);

/* To a file, as the field of a message that is never closed; then it is empty again. */
void message_send(struct message *message, int field, FILE *out);
void message_empty(struct message *message);
void message_free(struct message *message);

#endif
