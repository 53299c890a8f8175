/* tidemark.h - what a program or another tool may call in libtidemark.so. All of it is
 * optional: the functions are declared weak, so that a program which is built without the
 * library, and run without it, finds them to be NULL. Ask first, or use the macros below,
 * which do:
 *
 *	TIDEMARK_PUSH_PHASE("rollout");
 *	...
 *	TIDEMARK_POP_PHASE();
 *
 * (In a program linked at a fixed address, gcc -no-pie, a weak function that is missing
 * when it is linked stays missing.) There, and in another language, look the name up:
 * dlsym(RTLD_DEFAULT, "tidemark_push_phase"). Programs
 * in Python need neither: torch.profiler.record_function("tidemark.phase:rollout") and NVTX
 * ranges of that name do the same, "tidemark.bucket:NAME" likewise (docs/scopes.md).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TIDEMARK_H
#define TIDEMARK_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef TIDEMARK_API
#if defined(__GNUC__)
#define TIDEMARK_API __attribute__((weak))
#else
#define TIDEMARK_API
#endif
#endif

/* The library's version, "0.1.0". */
TIDEMARK_API const char *tidemark_version(void);

/* The calling program says that a training step ends here. From the first call on steps
 * are what it says, not what torch.optim's optimizers do. Any thread. */
TIDEMARK_API void tidemark_step(void);

/* What this thread allocates from here to the matching pop was made in a phase, or for a
 * bucket, of this name: shown beside the phases and buckets that tidemark knows by itself,
 * as its scope. Scopes nest, phases in buckets and the other way round; a backward's scope
 * is that of the thread that called it. name: copied, more than 63 bytes end with "..."; NULL and "" name
 * nothing but have a pop. No lock, and nothing is allocated but a page at a thread's first
 * one; any thread, at any time, also before the first allocation. Pops without a push do nothing. A name that
 * counts ("step 17") makes each step unlike all others and the trace large.
 * A phase called as one of tidemark's own ("forward", "eval", ...) is that phase, wherever
 * tidemark could not be sure of another; a bucket called as one of its own ("activation",
 * ...) holds what nobody has shown to be a parameter, a gradient or optimizer state. */
TIDEMARK_API void tidemark_push_phase(const char *name);
TIDEMARK_API void tidemark_pop_phase(void);
TIDEMARK_API void tidemark_push_bucket(const char *name);
TIDEMARK_API void tidemark_pop_bucket(void);

#define TIDEMARK_PUSH_PHASE(name)                                                      \
	((void)(tidemark_push_phase ? (tidemark_push_phase(name), 0) : 0))
#define TIDEMARK_POP_PHASE()                                                           \
	((void)(tidemark_pop_phase ? (tidemark_pop_phase(), 0) : 0))
#define TIDEMARK_PUSH_BUCKET(name)                                                     \
	((void)(tidemark_push_bucket ? (tidemark_push_bucket(name), 0) : 0))
#define TIDEMARK_POP_BUCKET()                                                          \
	((void)(tidemark_pop_bucket ? (tidemark_pop_bucket(), 0) : 0))
#define TIDEMARK_STEP() ((void)(tidemark_step ? (tidemark_step(), 0) : 0))

/* Finishes the trace of a process that was killed, from the ring it left, or makes a
 * completed copy of the trace of one that still runs. Call it in a process of its own: it
 * may need memory for a whole training step.
 * trace: path of the trace file; into: path of the copy to make, or NULL for in place.
 * Returns 0 done; 1 nothing to do; 2 the process is alive and into is NULL; 3 likewise, but
 * whether it is alive cannot be told from here (it ran in another container or on another
 * host); negative: failed, and message holds one sentence. */
TIDEMARK_API int tidemark_recover(const char *trace, const char *into, char *message,
                                  size_t message_size);

/* Where a run is just now, by what its ring holds beside the trace. Reads only: takes no lock,
 * changes nothing, and costs what came since the last look, whatever size the trace has.
 * trace: path of the trace file; seen: the text of the last look at it, or "".
 * Returns 0 the run goes on; 1 whether it does cannot be told from here; 2 it has ended; 3 its
 * process is gone without an end; negative: failed, and text holds one sentence.
 * text: lines "pid N", "now NS", "stopped 0|1", "lost EVENTS", "phase NUMBER" (-1: not known
 * before it ends), "device NAME ALLOCATED RESERVED NS" and "ring NUMBER POSITION"; bytes, and
 * nanoseconds since the run began. What has not happened since the last look has no line. */
TIDEMARK_API int tidemark_glance(const char *trace, const char *seen, char *text,
                                 size_t size);

#ifdef __cplusplus
}
#endif

#endif
