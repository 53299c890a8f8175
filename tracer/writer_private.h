/* writer_private.h - the writer's state: thread.c and writer.c while the run goes on, resume.c and
 * writer.c when it is over. Nobody else includes it. */
#ifndef TIDEMARK_TRACER_WRITER_PRIVATE_H
#define TIDEMARK_TRACER_WRITER_PRIVATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model.h"
#include "ring.h"
#include "store.h"
#include "writer.h"

struct hold { /* records after a step's possible end, until it is clear (model.h) */
	char *data;
	size_t size, capacity;
	uint64_t from; /* the number of the first record after that end */
	bool on;
	bool forward; /* the first one held begins a forward, before which a step may end */
};

struct tmk_writer {
	struct tmk_rings *rings;
	char path[2048];
	struct tmk_store *store;
	struct tmk_model *model;
	struct hold hold;
	uint32_t again;         /* records that were held are being taken once more */
	uint64_t next_seq;      /* the next record's */
	uint64_t committed_seq; /* everything before it is in the trace */
	uint64_t waiting_since; /* for a number that does not come */
	uint64_t last_ns;       /* of the clock, when it was last compared */
	uint32_t current;       /* the ring the last record came from */
	bool due;               /* a step's rows wait for their commit */
	uint64_t last_commit_ns;
	/* A recovery: one transaction, so that one that is killed itself has changed nothing,
	 * over files that may be damaged. */
	bool recovers;
	/* The ring's next record where it may be damaged; NULL: it is as it was written. */
	struct tmk_record *(*peek)(struct tmk_writer *w, struct tmk_ring *ring);
	bool copies;  /* ... of a run that goes on: up to the number in the header */
	bool over;    /* ... has nothing to do: the trace is finished */
	uint64_t cut; /* a recovery's: numbers of calls that never returned */
	uint64_t damaged;        /* bytes of rings and spill that were no records */
	_Atomic uint32_t stop;   /* futexes: 1 asked to end, */
	atomic_bool refused;     /* ... and that has been said */
	_Atomic uint32_t opened; /* 1 the store is open, 2 it cannot be (message) */
	_Atomic uint32_t done;   /* 1 nothing more will be written */
	char message[300];
	char died[300]; /* of a run that ended out of memory: where; read when done */
};

/* Opens trace and model; false with a sentence. */
bool tmk_writer_open(struct tmk_writer *w, char *message, size_t size);
/* One record, the next in order. */
void tmk_writer_take(struct tmk_writer *w, const struct tmk_record *r);
/* Everything that the rings hold; final: what is missing now will never come. */
void tmk_writer_drain(struct tmk_writer *w, bool final);
/* Numbers before `to` that stand nowhere are counted as lost. */
void tmk_writer_skip(struct tmk_writer *w, uint64_t to);
/* Compares the processor's clock with the system's. */
void tmk_writer_calibrate(struct tmk_writer *w);
/* What waits for its commit, at once. */
void tmk_writer_commit_now(struct tmk_writer *w);
/* The run's last rows. */
void tmk_writer_end(struct tmk_writer *w, const char *ended);

#endif
