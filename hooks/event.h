/* event.h - an allocation, a free, a segment or an out-of-memory, complete with phase and
 * stacks. On the hooked thread, under the guard. The first one starts the recording. */
#ifndef TIDEMARK_HOOKS_EVENT_H
#define TIDEMARK_HOOKS_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "record.h"

/* bytes > 0 allocated, < 0 freed, 0 freed and the size is the writer's to know */
void tmk_event(void *ptr, int64_t bytes, size_t allocated, size_t reserved,
               struct tmk_device_id device, uint8_t flags);

/* Asked for `bytes` (-1: not told) and got nothing, for good. source: who said so; of an
 * 'exception' the allocator's totals are not known either. */
void tmk_event_oom(int64_t bytes, size_t allocated, size_t reserved,
                   struct tmk_device_id device, const char *source);

/* The exception's text of this thread's last one; where nobody reported one before the
 * exception was made, it is one itself. */
void tmk_event_oom_message(const char *text);

/* Device (host = 0) or pinned memory taken from or given back to the driver. */
void tmk_event_segment(enum tmk_segment_code code, const char *call, uint64_t address,
                       size_t bytes, int host);

/* ... taken on a device that need not be the current one; -1: the current one. */
void tmk_event_segment_on(int device, const char *call, uint64_t address, size_t bytes);

/* The program's current device; leaves no CUDA error behind. */
struct tmk_device_id tmk_event_device(void);

/* A CUDA call of ours that may fail leaves no trace: only where no error waits, and its own
 * is taken back. */
bool tmk_event_may_ask(void);
void tmk_event_forget_error(void);

/* How much the device has free now: after a free of what was at `address`, which records what
 * it had before. The current device alone can be asked; whose the memory was, the writer knows. */
void tmk_event_sample(uint64_t address);

#endif
