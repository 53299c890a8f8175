/* copy.c - copies that cost what was really written, not what was asked for.
 * Pages nobody has written read as zero; mincore() tells which these are, so that a
 * gigabyte of untouched device memory is "copied" to untouched host memory for nothing.
 * Called from: cudart/copy.c, driver/memory.c. */
#include "copy.h"
#include "config.h"
#include "known.h"
#include "memory.h"
#include "values.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGE = 4096, WINDOW = 1024 }; /* pages looked at in one call */

static size_t copy_max(void)
{
	static _Atomic size_t limit = SIZE_MAX;
	if (limit == SIZE_MAX) /* where all is computed, all is copied */
		limit = *tmksim_text(TMKSIM_VALUES) == 'c'
		                ? SIZE_MAX - 1
		                : tmksim_number(TMKSIM_COPY_MAX);
	return limit;
}

static size_t min(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Exact copy from device memory, a page of the source at a time. */
static void copy_touched(char *to, const char *from, size_t bytes)
{
	unsigned char from_there[WINDOW], to_there[WINDOW + 1];
	while (bytes) {
		uintptr_t from_page = (uintptr_t)from & ~(uintptr_t)(PAGE - 1);
		size_t window = min(bytes, (size_t)PAGE * WINDOW -
		                                   ((uintptr_t)from - from_page));
		size_t span = (uintptr_t)from - from_page + window;
		uintptr_t to_page = (uintptr_t)to & ~(uintptr_t)(PAGE - 1);
		size_t to_span = (uintptr_t)to - to_page + window;
		if (mincore((void *)from_page, span, from_there) ||
		    mincore((void *)to_page, to_span, to_there)) {
			memmove(to, from,
			        window); /* not ours to ask about: just copy */
			from += window, to += window, bytes -= window;
			continue;
		}
		for (size_t done = 0; done < window;) {
			size_t page = ((uintptr_t)from + done - from_page) / PAGE;
			size_t run =
			        min(window - done, from_page + (page + 1) * PAGE -
			                                   ((uintptr_t)from + done));
			size_t left = ((uintptr_t)to + done - to_page) / PAGE;
			size_t right =
			        ((uintptr_t)to + done + run - 1 - to_page) / PAGE;
			if (from_there[page] & 1)
				memmove(to + done, from + done, run);
			else if ((to_there[left] | to_there[right]) & 1)
				memset(to + done, 0, run);
			done += run;
		}
		from += window, to += window, bytes -= window;
	}
}

void tmksim_copy(void *to, const void *from, size_t bytes)
{
	if (!bytes || to == from)
		return;
	bool from_device = tmksim_on_device(from), to_device = tmksim_on_device(to);
	if (to_device && !from_device) {
		tmksim_value_written();
		tmksim_host_wrote(to, bytes);
	} else if (to_device) {
		tmksim_known_copied(to, from, bytes);
	}
	if (bytes <= PAGE)
		memmove(to, from, bytes);
	else if (from_device)
		copy_touched(to, from, bytes);
	else
		memmove(to, from, to_device ? min(bytes, copy_max()) : bytes);
	if (from_device && !to_device)
		tmksim_value_read(to, from, bytes);
}

void tmksim_copy_rows(void *to, size_t to_pitch, const void *from, size_t from_pitch,
                      size_t width, size_t height)
{
	bool bounded = tmksim_on_device(to) && !tmksim_on_device(from);
	size_t budget = bounded ? copy_max() : SIZE_MAX;
	for (size_t row = 0; row < height && budget >= width; row++, budget -= width)
		tmksim_copy((char *)to + row * to_pitch,
		            (const char *)from + row * from_pitch, width);
}

static void fill_bytes(char *to, unsigned value, size_t width, size_t count)
{
	if (width == 1) {
		memset(to, (int)value, count);
		return;
	}
	for (size_t i = 0; i < count; i++)
		memcpy(to + i * width, &value, width);
}

void tmksim_fill(void *to, unsigned value, size_t width, size_t count)
{
	if (!tmksim_on_device(to))
		fill_bytes(to, value, width, count);
	else if (!value)
		tmksim_forget_pages(to, width * count);
	else
		fill_bytes(to, value, width, min(count, copy_max() / width));
}
