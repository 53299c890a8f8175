/* stream_private.h - what a stream is, for stream.c and capture.c. */
#ifndef TIDEMARK_SIMULATOR_STREAM_PRIVATE_H
#define TIDEMARK_SIMULATOR_STREAM_PRIVATE_H

#include "stream.h"

#include <stdint.h>

struct tmksim_stream {
	int device, priority;
	unsigned flags;
	/* threads share streams and events: each field for itself is whole */
	unsigned long long id;
	_Atomic unsigned long long last_work;
	_Atomic unsigned long long
	        capture;             /* the capture it takes part in, 0 for none */
	_Atomic bool collective;     /* its last work is a collective */
	_Atomic uint64_t busy_until; /* ns, CLOCK_MONOTONIC; 0 where nothing waited */
	struct tmksim_stream *next;
};

struct tmksim_event {
	_Atomic unsigned long long at;      /* clock when recorded, plus one */
	_Atomic unsigned long long capture; /* of the stream it was recorded on */
	_Atomic uint64_t done_at;           /* ns; 0 where no stream was ever busy */
	bool timed, interprocess;
	_Atomic bool collective; /* recorded after one, and not waited for since */
};

static inline bool tmksim_default_stream(const struct tmksim_stream *stream)
{
	return (uintptr_t)stream <= 2;
}

/* Adds work to the capture that a stream takes part in; false if it is in none. */
bool tmksim_capture_add(struct tmksim_stream *stream, size_t nodes);
void tmksim_capture_invalidate(struct tmksim_stream *stream);
bool tmksim_capture_alive(unsigned long long id);

#endif
