/* hot.h - what every event runs through lies together, and so does what it reads. Between
 * two events torch runs through more than a first-level cache holds: what a hook costs in a
 * real step is the lines that it brings back, more than its instructions. */
#ifndef TIDEMARK_TRACER_HOT_H
#define TIDEMARK_TRACER_HOT_H

#define TMK_HOT      __attribute__((hot, aligned(64))) /* begins a line */
#define TMK_HOT_DATA __attribute__((section("tmk_hot")))

/* The rare branch of a hot function: kept out of its lines. */
#define TMK_COLD __attribute__((cold, noinline))

#endif
