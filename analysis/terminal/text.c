/* text.c - numbers as people say them, and pieces of text that fit.
 * Called from: advice/, answers/, commands/, compare/, formula/, job/, live/,
 *     measure/, options/, plan/, reconcile/, run/, terminal/, trace/. */
#include "text.h"
#include "whole.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "heap.h"

struct small text_size(int64_t bytes)
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB"};
	struct small text;
	double size = (double)bytes;
	int unit = -1;

	/* 1023.995 would round up to "1024.00": the next unit says it better. */
	while ((size >= 1023.995 || size <= -1023.995) && unit < 4) {
		size /= 1024;
		unit++;
	}
	if (unit < 0)
		snprintf(text.s, sizeof(text.s), "%" PRId64 " B", bytes);
	else
		snprintf(text.s, sizeof(text.s), "%.2f %s", size, units[unit]);
	return text;
}

struct small text_count(int64_t count)
{
	struct small text;
	char digits[24];
	int length, at = 0;

	length = snprintf(digits, sizeof(digits), "%" PRIu64,
	                  count < 0 ? -(uint64_t)count : (uint64_t)count);
	if (count < 0)
		text.s[at++] = '-';
	for (int i = 0; i < length; i++) {
		if (i && (length - i) % 3 == 0)
			text.s[at++] = ',';
		text.s[at++] = digits[i];
	}
	text.s[at] = 0;
	return text;
}

struct small text_bytes(int64_t bytes)
{
	struct small text = text_count(bytes);
	strcat(text.s, " B");
	return text;
}

/* A flat buffer is counted with the first tensor in it, the others are parts of it. */
struct small text_blocks(int64_t count)
{
	struct small text = text_count(count);

	if (!count)
		return (struct small){"part"};
	strcat(strcat(text.s, " "), sign(TIMES));
	return text;
}

struct small text_duration(int64_t ns)
{
	struct small text;
	int64_t s = ns / 1000000000;

	if (ns < 1000000)
		snprintf(text.s, sizeof(text.s), "%.3g %s", (double)ns / 1e3,
		         term.unicode ? "µs" : "us");
	else if (ns < 999500000)
		snprintf(text.s, sizeof(text.s), "%.3g ms", (double)ns / 1e6);
	else if (s < 60)
		snprintf(text.s, sizeof(text.s), "%.1f s", (double)ns / 1e9);
	else if (s < 3600)
		snprintf(text.s, sizeof(text.s), "%d min %d s", (int)(s / 60),
		         (int)(s % 60));
	else
		snprintf(text.s, sizeof(text.s), "%" PRId64 " h %d min", s / 3600,
		         (int)(s % 3600 / 60));
	return text;
}

struct small text_percent(int64_t part, int64_t whole)
{
	struct small text = {""};
	if (whole > 0)
		snprintf(text.s, sizeof(text.s), "%.1f %%",
		         100.0 * (double)part / (double)whole);
	return text;
}

struct small text_plural(int64_t count, const char *noun)
{
	struct small text = text_count(count);
	size_t length = strlen(text.s);
	size_t end = strlen(noun);
	bool hisses = end > 1 &&
	              (noun[end - 1] == 's' || noun[end - 1] == 'x' ||
	               !strcmp(noun + end - 2, "ch") || !strcmp(noun + end - 2, "sh"));
	snprintf(text.s + length, sizeof(text.s) - length, " %s%s", noun,
	         count == 1 ? ""
	         : hisses   ? "es"
	                    : "s");
	return text;
}

static bool continues(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

int text_width(const char *text)
{
	int width = 0;
	for (; *text; text++)
		width += !continues(*text);
	return width;
}

/* Code points [from, to) of a text. */
static void write_part(FILE *out, const char *text, int from, int to)
{
	int at = -1;
	for (; *text; text++) {
		at += !continues(*text);
		if (at >= from && at < to)
			fputc((unsigned char)*text < 0x20 || *text == 0x7f ? '?'
			                                                   : *text,
			      out);
	}
}

/* A dotted name, part by part; "exp_avg" of "h.0.weight exp_avg" is a part too. */
enum { PARTS = 32 };
struct parts {
	const char *text[PARTS];
	int length[PARTS], count; /* bytes */
	char before[PARTS];       /* what stands between it and the part before */
	bool kept[PARTS];
};

static struct parts split(const char *name)
{
	struct parts parts = {.count = 0};

	while (parts.count < PARTS) {
		int last = parts.count + 1 == PARTS;
		size_t length = last ? strlen(name) : strcspn(name, ". ");
		parts.text[parts.count] = name;
		parts.length[parts.count++] = (int)length;
		name += length;
		if (!*name)
			break;
		parts.before[parts.count] = *name++;
	}
	return parts;
}

/* The name with dots where parts are left out; the caller's. */
static char *join(const struct parts *parts)
{
	char *text;
	size_t length;
	FILE *out = open_memstream(&text, &length);
	bool gap = false;

	for (int i = 0; out && i < parts->count; i++) {
		if (parts->kept[i] && i && !gap)
			fputc(parts->before[i], out);
		if (parts->kept[i])
			fwrite(parts->text[i], 1, (size_t)parts->length[i], out);
		else if (!gap)
			fputs(sign(DOTS), out);
		gap = !parts->kept[i];
	}
	if (out)
		fclose(out);
	return out ? text : copy_text("");
}

/* Keeps a part where the name still fits with it. */
static void try_part(struct parts *parts, int part, int columns)
{
	char *text;

	if (part < 0 || parts->kept[part])
		return;
	parts->kept[part] = true;
	text = join(parts);
	parts->kept[part] = text_width(text) <= columns;
	free(text);
}

static bool is_layer(const struct parts *parts, int part)
{
	int length = parts->length[part];

	return length && (int)strspn(parts->text[part], "0123456789*") == length;
}

/* What repeats in a name is its beginning, and what stands between a layer and its last part. */
static int name_fit(FILE *out, const char *name, int columns)
{
	struct parts parts = split(name);
	int width = text_width(name), room = columns - text_width(sign(DOTS));
	char *text;

	for (int i = parts.count; i-- > 0;)
		if (i + 1 == parts.count || is_layer(&parts, i))
			try_part(&parts, i, columns);
	for (int i = parts.count; i-- > 1;)
		if (is_layer(&parts, i))
			try_part(&parts, i - 1, columns);
	for (int i = parts.count; i-- > 0;)
		try_part(&parts, i, columns);
	if (parts.kept[parts.count - 1]) {
		text = join(&parts);
		write_part(out, text, 0, columns);
		width = text_width(text);
		free(text);
		return width;
	}
	write_part(out, name, 0, room / 3);
	fputs(sign(DOTS), out);
	write_part(out, name, width - (room - room / 3), width);
	return columns;
}

int text_fit(FILE *out, const char *text, int columns, enum keep keep)
{
	int width = text_width(text), dots = text_width(sign(DOTS));

	if (term.wide)
		columns = width;
	if (width <= columns || columns <= dots) {
		write_part(out, text, 0, columns);
		return width < columns ? width : columns;
	}
	if (keep == KEEP_NAME && !strchr(text, '/'))
		return name_fit(out, text, columns);
	if (keep == KEEP_HEAD) {
		write_part(out, text, 0, columns - dots);
		fputs(sign(DOTS), out);
	} else {
		fputs(sign(DOTS), out);
		write_part(out, text, width - (columns - dots), width);
	}
	return columns;
}

void text_mark(FILE *out, enum style way, const char *mark)
{
	int widest = text_width(sign(CHECK));

	fprintf(out, "%s%s%s%*s", style(way), mark, style(PLAIN),
	        widest - text_width(mark) + 1, "");
}

void text_bar(FILE *out, int64_t part, int64_t whole, int columns)
{
	int64_t eighths = 0;
	int used = 0;

	if (whole > 0 && part > 0)
		eighths = whole_of((double)part / (double)whole * columns * 8 + 0.5);
	if (part > 0 && !eighths)
		eighths = 1; /* something is never drawn as nothing */
	if (eighths > 8 * columns)
		eighths = 8 * columns;
	for (; eighths >= 8; eighths -= 8, used++)
		fputs(block_right(8), out);
	if (*block_right(eighths)) {
		fputs(block_right(eighths), out);
		used++;
	}
	fprintf(out, "%*s", columns - used, "");
}

void text_wrap(FILE *out, const char *text, int indent, int from)
{
	enum { READABLE = 100 };
	int at = from, room = term.width > READABLE ? READABLE : term.width;
	bool first = true; /* in its line */

	while (*text) {
		size_t length = strcspn(text, " ");
		char word[256];
		int width;
		snprintf(word, sizeof(word), "%.*s", (int)length, text);
		width = text_width(word);
		if (!first && at + 1 + width > room) {
			fprintf(out, "\n%*s", indent, "");
			at = indent;
			first = true;
		}
		fputs(first ? "" : " ", out);
		text_fit(out, word, room - indent, KEEP_TAIL);
		at += width + !first;
		first = false;
		text += length + (text[length] == ' ');
	}
	fputc('\n', out);
}
