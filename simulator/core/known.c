/* known.c - see known.h. A few stretches a thread, the oldest overwritten.
 * Called from: core/, libraries/. */
#include "known.h"

#include <string.h>

enum { STRETCHES = 64, JUST_NOW = 32, FOR_SOME_STEPS = 16384 }; /* in pieces of work */

struct record {
	struct stretch {
		uintptr_t from, to;
		unsigned long work; /* the thread had issued by then */
	} stretches[STRETCHES];
	unsigned next;
};
static _Thread_local struct record written, delivered;
static _Thread_local unsigned long work;
static _Thread_local struct {
	const void *from;
	size_t bytes;
} last_copy;

void tmksim_known_work(void)
{
	work++;
}

/* What lies behind the stretch added last lengthens it: lists of slices are one tensor. */
static void add(struct record *record, const void *at, size_t bytes, size_t limit)
{
	uintptr_t from = (uintptr_t)at;
	struct stretch *last = &record->stretches[(record->next - 1) % STRETCHES];
	if (!bytes || bytes > limit)
		return;
	if (last->to == from && last->from)
		*last = (struct stretch){last->from, from + bytes, work};
	else
		record->stretches[record->next++ % STRETCHES] =
		        (struct stretch){from, from + bytes, work};
}

static bool holds(const struct record *record, const void *at, size_t bytes,
                  unsigned long age)
{
	uintptr_t from = (uintptr_t)at;
	for (int i = 0; i < STRETCHES; i++) {
		const struct stretch *s = &record->stretches[i];
		if (s->from <= from && from + bytes <= s->to && work - s->work <= age)
			return true;
	}
	return false;
}

void tmksim_host_wrote(const void *at, size_t bytes)
{
	add(&written, at, bytes, TMKSIM_KNOWN_MAX);
}

bool tmksim_host_wrote_just_now(const void *at, size_t bytes)
{
	return holds(&written, at, bytes, JUST_NOW);
}

void tmksim_deliver(const void *at, size_t bytes)
{
	add(&delivered, at, bytes, SIZE_MAX);
}

bool tmksim_delivered(const void *at, size_t bytes)
{
	return holds(&delivered, at, bytes, FOR_SOME_STEPS);
}

int64_t tmksim_just_delivered(void)
{
	const struct stretch *last =
	        &delivered.stretches[(delivered.next - 1) % STRETCHES];
	int64_t number = 0;
	if (last->to - last->from >= sizeof(number) && work - last->work <= JUST_NOW)
		memcpy(&number, (const void *)last->from, sizeof(number));
	return number;
}

void tmksim_known_copied(const void *to, const void *from, size_t bytes)
{
	last_copy.from = from;
	last_copy.bytes = bytes;
	if (bytes <= TMKSIM_KNOWN_MAX && tmksim_delivered(from, bytes))
		tmksim_deliver(to, bytes);
}

const void *tmksim_last_copied(size_t bytes)
{
	return last_copy.bytes == bytes ? last_copy.from : NULL;
}
