/* pytext.c - names, files and lines of frames that pystack.c has walked.
 *
 * Called from: whoever meets a stack for the first time, on the thread that walked it
 * and before it returns to Python. Reads only; never allocates.
 */
#include "pytext.h"
#include "pylayout.h"

#include <string.h>

static const char ellipsis[] = "\xE2\x80\xA6"; /* "…" */
enum { ELLIPSIS = sizeof(ellipsis) - 1 };

struct characters {
	const unsigned char *data;
	int64_t count;
	int width; /* bytes a character: 1, 2, 4; 0 for a str of unknown form */
};

/* PyASCIIObject.state opens with interned:2 kind:3 compact:1 ascii:1. The bits above
 * are not kept zero. (After 3.14 interned grows to 16 bits.) */
static struct characters characters_of(const char *str)
{
	struct characters c = {0};
	uint32_t state = (uint32_t)tmk_py_i32(str, TMK_PY_STR_STATE) >> 2;
	uint32_t kind = state & 7, compact = state & 8, ascii = state & 16;
	if (!compact || (kind != 1 && kind != 2 && kind != 4))
		return c; /* an instance of a subclass of str */
	c.data = (const unsigned char *)str + (ascii ? tmk_py.ascii : tmk_py.compact);
	c.count = tmk_py_i64(str, TMK_PY_OB_SIZE);
	c.width = (int)kind;
	return c;
}

static uint32_t character(struct characters c, int64_t i)
{
	if (c.width == 1)
		return c.data[i];
	if (c.width == 2)
		return ((const uint16_t *)c.data)[i];
	return ((const uint32_t *)c.data)[i];
}

/* Returns the bytes the character takes; writes them when out is not NULL. Lone
 * surrogates (undecodable bytes in a path) have no UTF-8 and become "?". */
static size_t encode(uint32_t ch, char *out)
{
	unsigned char b[4];
	size_t n;
	if (ch < 0x80 || ch > 0x10FFFF || (ch >= 0xD800 && ch < 0xE000)) {
		b[0] = (unsigned char)(ch < 0x80 ? ch : '?');
		n = 1;
	} else if (ch < 0x800) {
		b[0] = (unsigned char)(0xC0 | ch >> 6);
		n = 2;
	} else if (ch < 0x10000) {
		b[0] = (unsigned char)(0xE0 | ch >> 12);
		n = 3;
	} else {
		b[0] = (unsigned char)(0xF0 | ch >> 18);
		n = 4;
	}
	for (size_t i = 1; i < n; i++)
		b[i] = (unsigned char)(0x80 | (ch >> 6 * (n - 1 - i) & 0x3F));
	if (out)
		memcpy(out, b, n);
	return n;
}

void tmk_py_utf8(const char *str, char *out, size_t n, int keep_end)
{
	if (n == 0)
		return;
	out[0] = 0;
	if (!str)
		return;
	struct characters c = characters_of(str);
	int64_t first = 0, last = c.width ? c.count : 0;
	size_t used = 0;

	/* Count from the end that stays until the room is spent, keeping in mind where
	 * to cut if not everything fits. */
	int64_t cut = keep_end ? last : first;
	int fits = 1;
	for (int64_t i = 0; i < last && fits; i++) {
		used += encode(character(c, keep_end ? last - 1 - i : i), NULL);
		if (used + ELLIPSIS < n)
			cut = keep_end ? last - 1 - i : i + 1;
		fits = used < n;
	}
	size_t at = 0;
	if (!fits && n <= ELLIPSIS)
		return;
	if (!fits && keep_end) {
		memcpy(out, ellipsis, ELLIPSIS);
		at = ELLIPSIS;
		first = cut;
	} else if (!fits) {
		last = cut;
	}
	for (int64_t i = first; i < last; i++)
		at += encode(character(c, i), out + at);
	if (!fits && !keep_end) {
		memcpy(out + at, ellipsis, ELLIPSIS);
		at += ELLIPSIS;
	}
	out[at] = 0;
}

/* 3.8, 3.9: co_lnotab, pairs of (bytes of code, signed lines), cumulative. */
static int line_by_lnotab(const unsigned char *p, const unsigned char *end, int line,
                          int where)
{
	for (int at = 0; p + 1 < end; p += 2) {
		at += p[0];
		if (at > where)
			break;
		line += (signed char)p[1];
	}
	return line;
}

/* 3.10: co_linetable, pairs of (bytes of code, signed lines or -128 for none), each
 * pair a range of its own. */
static int line_by_ranges(const unsigned char *p, const unsigned char *end, int line,
                          int where)
{
	for (int at = 0; p + 1 < end; p += 2) {
		if ((signed char)p[1] != -128)
			line += (signed char)p[1];
		at += p[0];
		if (where < at)
			break;
	}
	return line;
}

static const unsigned char *skip_varint(const unsigned char *p,
                                        const unsigned char *end)
{
	while (p < end && *p++ & 64)
		;
	return p;
}

/* 3.11+: the location table. Each entry opens with 1 code(4) length-1(3); the length
 * counts instructions. Codes 0-9: one byte of columns, same line; 10-12: line +0..2,
 * two bytes of columns; 13: signed varint line; 14: the same, then three varints; 15:
 * no location. (CPython, Objects/locations.md) */
static int line_by_locations(const unsigned char *p, const unsigned char *end, int line,
                             int where)
{
	int at = 0;
	while (p < end) {
		int code = *p >> 3 & 15, length = (*p & 7) + 1;
		p++;
		if (code == 13 || code == 14) {
			uint32_t v = 0;
			int more = 1;
			for (int shift = 0; more && p < end; shift += 6) {
				if (shift < 32)
					v |= (uint32_t)(*p & 63) << shift;
				more = *p++ & 64;
			}
			line += v & 1 ? -(int)(v >> 1) : (int)(v >> 1);
			for (int k = 0; code == 14 && k < 3; k++)
				p = skip_varint(p, end);
		} else if (code >= 10 && code <= 12) {
			line += code - 10;
			p += 2;
		} else if (code < 10) {
			p += 1;
		}
		at += 2 * length;
		if (where < at)
			break;
	}
	return line;
}

void tmk_pystack_text(const struct tmk_py_frame *f, char *function, size_t nf,
                      char *file, size_t nfile, int *line)
{
	tmk_py_utf8(tmk_py_ptr(f->code, tmk_py.qualname), function, nf, 0);
	tmk_py_utf8(tmk_py_ptr(f->code, tmk_py.file), file, nfile, 1);
	const char *table = tmk_py_ptr(f->code, tmk_py.lines);
	const unsigned char *p = (const unsigned char *)table + TMK_PY_BYTES_DATA;
	const unsigned char *end = p + tmk_py_i64(table, TMK_PY_OB_SIZE);
	*line = tmk_py_i32(f->code, tmk_py.first_line);
	if (f->where < 0)
		return;
	if (tmk_py.minor >= 11)
		*line = line_by_locations(p, end, *line, f->where);
	else if (tmk_py.minor == 10)
		*line = line_by_ranges(p, end, *line, f->where);
	else
		*line = line_by_lnotab(p, end, *line, f->where);
}
