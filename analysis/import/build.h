/* build.h - a trace made event by event, as schema.sql says: its steps, peaks, samples. */
#ifndef TIDEMARK_ANALYSIS_BUILD_H
#define TIDEMARK_ANALYSIS_BUILD_H

#include <stdbool.h>
#include <stdint.h>

enum { BUILD_DEVICES = 64 };

struct build;

/* name is what messages call the file, command what the run row says was run. */
struct build *build_new(const char *name, const char *path);

/* Numbers given back count from 1; a text or a stack 0 is none. Times: ns since the run began,
 * never going back. */
void build_frame(struct build *build, bool native, const char *function,
                 const char *file, int64_t line);
void build_stack(struct build *build, int64_t parent, int64_t frame);

struct born {
	int32_t device; /* cuda's number */
	int64_t time_ns, address, bytes;
	int64_t requested; /* -1: not known */
	int64_t python_stack, native_stack;
	int64_t bucket; /* -1: not known */
};
void build_block(struct build *build, const struct born *born);
bool build_freed(struct build *build, int64_t block,
                 int64_t time_ns); /* false: not alive */
void build_segment(struct build *build, const struct born *born, bool piece);
bool build_given(struct build *build, int64_t segment, int64_t time_ns);
void build_refused(struct build *build, const struct born *born, int64_t device_free);
void build_phase(struct build *build, int64_t phase, int64_t time_ns);
void build_step(struct build *build,
                int64_t time_ns); /* one ends, and the next begins */

int64_t build_frames(const struct build *build);
int64_t build_stacks(const struct build *build);
int64_t build_blocks(const struct build *build);

/* What is said of the run as a whole. */
struct about {
	const char *command;
	int64_t started_ns; /* since 1970 */
	int64_t before;     /* blocks that were alive before the history began */
	int64_t late;       /* blocks that were made after it ended */
	bool history, annotated, rounded;
	bool cut; /* the history began when there was memory already */
};
struct built {
	int64_t blocks, unknown, steps, devices;
};
struct built build_done(struct build *build, const struct about *about);

#endif
