/* once.c - texts that an answer repeats, written once.
 *
 * A list of who was alive has a stack for each row, thousands of times the same frames: most of
 * what the commands answer.
 * Called from: page.c. */
#include "once.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "heap.h"

static uint64_t hash(const char *text, size_t length)
{
	uint64_t sum = 1469598103934665603u; /* FNV-1a */

	for (size_t i = 0; i < length; i++)
		sum = (sum ^ (unsigned char)text[i]) * 1099511628211u;
	return sum;
}

static size_t *slot_of(struct texts *texts, const char *text, size_t length)
{
	size_t at = hash(text, length) & (texts->slot_count - 1);

	for (; texts->slots[at]; at = (at + 1) & (texts->slot_count - 1)) {
		const char *other = texts->list[texts->slots[at] - 1];
		if (!strncmp(other, text, length) && !other[length])
			break;
	}
	return &texts->slots[at];
}

static void make_room(struct texts *texts)
{
	if (2 * (texts->count + 1) <= texts->slot_count)
		return;
	texts->slot_count = texts->slot_count ? 2 * texts->slot_count : 1024;
	free(texts->slots);
	texts->slots = allocate(texts->slot_count * sizeof(size_t));
	for (size_t i = 0; i < texts->count; i++)
		*slot_of(texts, texts->list[i], strlen(texts->list[i])) = i + 1;
}

static size_t number_of(struct texts *texts, const char *text, size_t length)
{
	size_t *slot;

	make_room(texts);
	slot = slot_of(texts, text, length);
	if (!*slot) {
		texts->list =
		        grow(texts->list, texts->count, &texts->room, sizeof(char *));
		texts->list[texts->count++] = format_text("%.*s", (int)length, text);
		*slot = texts->count;
	}
	return *slot - 1;
}

/* Behind the string that begins at text, a quote. */
static const char *after_string(const char *text)
{
	for (text++; *text && *text != '"'; text++)
		if (*text == '\\' && text[1])
			text++;
	return *text ? text + 1 : text;
}

/* Behind the object that begins at text, which has no other inside. */
static const char *after_object(const char *text)
{
	while (*text && *text != '}')
		text = *text == '"' ? after_string(text) : text + 1;
	return *text ? text + 1 : text;
}

/* A stack begins at text, behind its '['. Writes its number; where it ends is the answer. */
static const char *copy_stack(struct once *once, const char *text, FILE *out)
{
	char *numbers = NULL;
	size_t size;
	FILE *list = open_memstream(&numbers, &size);

	if (!list)
		out_of_memory();
	while (*text == '{') {
		const char *end = after_object(text);
		fprintf(list, "%s%zu", ftell(list) ? "," : "",
		        number_of(&once->frames, text, (size_t)(end - text)));
		text = *end == ',' ? end + 1 : end;
	}
	fclose(list);
	fprintf(out, "%zu", number_of(&once->stacks, numbers, size));
	free(numbers);
	return *text == ']' ? text + 1 : text;
}

void once_stacks(struct once *once, const char *json, FILE *out)
{
	while (*json) {
		const char *end = *json == '"' ? after_string(json) : json + 1;
		size_t length = (size_t)(end - json);
		bool key = *end == ':' && end[1] == '[' &&
		           (end[2] == '{' || end[2] == ']');
		fwrite(json, 1, length, out);
		json = end;
		if (key && (!strncmp(end - length, "\"stack\"", length) ||
		            !strncmp(end - length, "\"native_stack\"", length))) {
			fputc(':', out);
			json = copy_stack(once, end + 2, out);
		}
	}
}

static void write_texts(const struct texts *texts, const char *open, const char *close,
                        FILE *out)
{
	for (size_t i = 0; i < texts->count; i++)
		fprintf(out, "%s%s%s%s", i ? "," : "", open, texts->list[i], close);
}

void once_write(const struct once *once, FILE *out)
{
	fputs("\"frames\":[", out);
	write_texts(&once->frames, "", "", out);
	fputs("],\"stacks\":[", out);
	write_texts(&once->stacks, "[", "]", out);
	fputc(']', out);
}

static void free_texts(struct texts *texts)
{
	for (size_t i = 0; i < texts->count; i++)
		free(texts->list[i]);
	free(texts->list);
	free(texts->slots);
}

void once_free(struct once *once)
{
	free_texts(&once->frames);
	free_texts(&once->stacks);
}
