/* entry.c - what an entry point does for which nobody wrote a function.
 * Any thread.
 * Called from: cudart/, driver/, libraries/. */
#include "entry.h"
#include "log.h"
#include "memory.h"
#include "stream.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t MARK = 0x6d69736b6d742a2aULL;

struct tmksim_handle *tmksim_handle_create(void)
{
	struct tmksim_handle *handle = calloc(1, sizeof(*handle));
	if (handle)
		handle->mark = MARK;
	return handle;
}

struct tmksim_handle *tmksim_handle(void *pointer)
{
	struct tmksim_handle *handle = pointer;
	/* cuFFT's plans are small integers */
	bool pointer_like = (uintptr_t)handle > 65536 && !((uintptr_t)handle & 7);
	return pointer_like && handle->mark == MARK ? handle : NULL;
}

void tmksim_handle_destroy(struct tmksim_handle *handle)
{
	if (!tmksim_handle(handle))
		return;
	handle->mark = 0;
	free(handle);
}

static long argument(int index, const long *arguments, const long *stack)
{
	return index < 6 ? arguments[index] : stack[index - 6];
}

static void write_outs(const struct tmksim_entry *entry, const long *arguments,
                       const long *stack)
{
	for (int i = 0; i < entry->outs; i++) {
		void *at = (void *)argument(entry->out[i].argument, arguments, stack);
		int kind = entry->out[i].kind;
		if (!at)
			continue;
		if (kind == 'i')
			*(int *)at = 0;
		else if (kind == 'h')
			*(void **)at = tmksim_handle_create();
		else if (kind == 's')
			*(size_t *)at = 0;
		else if (tmksim_on_device(
		                 at)) /* a solver's status for each of a batch */
			memset(at, 0,
			       sizeof(int) * (unsigned)argument(kind - 128, arguments,
			                                        stack));
		else /* for the call: cublas<t>getrsBatched has one on the host */
			*(int *)at = 0;
	}
}

long tmksim_entry_called(struct tmksim_entry *entry, const long *arguments,
                         const long *stack)
{
	if (!entry->seen) {
		entry->seen = 1;
		tmksim_log_call(entry);
	}
	struct tmksim_handle *handle;
	switch (entry->behaviour) {
	case TMKSIM_REFUSE:
		return entry->refusal;
	case TMKSIM_TEXT:
		return (long)"not modelled by the simulated device";
	case TMKSIM_LAUNCH:
		handle = tmksim_handle((void *)arguments[0]);
		tmksim_work(handle ? handle->stream : NULL);
		break;
	case TMKSIM_SET_STREAM:
		handle = tmksim_handle((void *)arguments[0]);
		if (handle)
			handle->stream = (struct tmksim_stream *)arguments[1];
		break;
	case TMKSIM_GET_STREAM:
		handle = tmksim_handle((void *)arguments[0]);
		*(void **)arguments[1] = handle ? handle->stream : NULL;
		return 0;
	case TMKSIM_DESTROY:
		tmksim_handle_destroy((void *)arguments[0]);
		break;
	default:
		break;
	}
	write_outs(entry, arguments, stack);
	return 0;
}
