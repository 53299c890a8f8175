/* by_device.h - the frame around an answer that goes from device to device: the options that
 * all of them take, the trace, the head of the JSON, what to type next. */
#ifndef TIDEMARK_ANALYSIS_BY_DEVICE_H
#define TIDEMARK_ANALYSIS_BY_DEVICE_H

#include "json.h"
#include "options.h"
#include "trace.h"

struct by_device {
	int64_t step, top; /* --step, -1 where it is not given; --top */
	struct trace *trace;
	struct device *devices;
	size_t count;
	struct json *json; /* NULL: a screen is wanted */
	FILE *out;
	size_t shown; /* devices so far */
	struct json writer;
};

/* Opens the trace; ends the program with one sentence where that can't be, or where it has
 * no such step. top: where --top is not given. */
void by_device_open(struct by_device *answer, const struct options *options,
                    int64_t top);

/* Opens the screen or the JSON; then what belongs to the whole answer may be written. */
void by_device_begin(struct by_device *answer);

/* After it come the devices, each with an empty line between it and the one before. */
void by_device_devices(struct by_device *answer);
void by_device_next_device(struct by_device *answer);

/* nothing: what a screen says where no device had anything, or NULL; first, second: the
 * next commands, or NULL for none. Returns the exit status. */
int by_device_close(struct by_device *answer, const char *nothing, const char *first,
                    const char *second);

#endif
