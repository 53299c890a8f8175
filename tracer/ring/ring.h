/* ring.h - the shared file that hooked threads write into and the writer reads.
 * One header page, then one ring per thread: a page of cursors and its data. The data is
 * mapped twice, one copy after the other, so that no record is ever split. */
#ifndef TIDEMARK_TRACER_RING_H
#define TIDEMARK_TRACER_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "owner.h"
#include "place.h"

#define TMK_RING_MAGIC 0x31474e52514b4d54ull /* "TMKQRNG1" */
#define TMK_MAX_RINGS  448
#define TMK_RING_PAGE  4096

struct tmk_ring_cursor {                    /* one page of the file per ring */
	_Alignas(64) _Atomic uint64_t head; /* bytes ever written; the producer's */
	_Alignas(64) _Atomic uint64_t tail; /* bytes given back; the writer's */
	_Alignas(64) _Atomic uint32_t busy; /* a living thread owns it */
	uint32_t tid;
};

struct tmk_ring_header {
	uint64_t magic;
	uint32_t layout; /* of the records: tmk_ring_layout() */
	uint32_t pad;
	struct tmk_owner owner;
	char token[40]; /* the run's, in the trace too (meta, 'token') */
	char version[16];
	_Atomic uint64_t seq; /* the next event's number */
	_Atomic uint64_t
	        ring_full; /* allocations and frees for which no ring had room */
	_Atomic uint64_t ring_full_other; /* names, stacks, ends of phases likewise */
	_Atomic uint64_t
	        reentered; /* events made inside our own hooks: passed through */
	_Atomic uint32_t rings;
	_Atomic uint32_t threads;  /* ids given out */
	_Atomic uint32_t finished; /* the writer has put everything into the trace */
	_Atomic uint32_t stopped;  /* ... or could not, and nothing more is recorded */
	/* the clock: ns = anchor_ns + (tick - anchor_tick) * rate / 2^32 */
	_Atomic uint64_t anchor_tick, anchor_ns, rate;
	uint64_t started_unix_ns;
	uint64_t started_tick;
	uint64_t data_size; /* of one ring, a power of two */
	char trace[2048];   /* absolute path of the trace file */
};
_Static_assert(sizeof(struct tmk_ring_header) <= TMK_RING_PAGE, "header page");

struct tmk_ring {
	struct tmk_ring_cursor *cursor;
	char *data; /* mapped twice: data[i] == data[i + size] */
	uint64_t size;
	uint64_t seen_tail; /* the producer's copy */
	uint64_t populated; /* by the writer, ahead of the producer */
	uint64_t read;      /* the writer's position, >= tail */
	uint64_t mark;      /* the writer's position when a step may have ended */
	uint64_t checked;   /* a recovery's: up to here it has found records, */
	uint64_t next_seq;  /* ... of which the next has at least this number */
	uint64_t safe; /* ... when the state last saved was true: up to here the trace,
				once committed, has everything */
};

struct tmk_rings {
	int fd;
	struct tmk_file file; /* what fd was when we opened it */
	bool shared; /* false: a private copy, for reading a run that goes on */
	struct tmk_ring_header *header;
	struct tmk_ring ring[TMK_MAX_RINGS];
	_Atomic uint32_t ready; /* ring[0..ready) are mapped */
	atomic_bool gone;       /* somebody has taken pages of it: they are empty now */
	char path[2112];
};

/* Creates the file (0600, never through a symlink) for the trace at `trace`, reserving
 * its blocks so that a full disk is an error here and never a SIGBUS later. Where the
 * trace's folder is on a network the file goes to /dev/shm or TMPDIR instead.
 * Returns 0 or -errno. */
int tmk_rings_create(struct tmk_rings *r, const char *trace, uint64_t ring_size);

/* Maps an existing file; shared = false takes a private snapshot of it. Returns 0,
 * -errno, -EPROTO when another layout wrote it, -EUCLEAN when its first page or its end is lost, or
 * -ENODATA when its making was interrupted before anything could be written into it. */
int tmk_rings_open(struct tmk_rings *r, const char *path, bool shared);

/* Removes such a file of a process that is gone; false where it lives. */
bool tmk_rings_discard_unfinished(const char *path);

/* A ring for this thread: a free one or a new one. NULL when there is none to be had.
 * Any thread, a few system calls. */
struct tmk_ring *tmk_rings_acquire(struct tmk_rings *r, uint32_t tid);
void tmk_ring_release(struct tmk_ring *ring);

/* Has the kernel bring in the pages that the producer comes to next, in its first round:
 * for the hooked thread each would be a fault of some microseconds. On the writer's thread;
 * Linux before 5.14 can't, and nothing else changes. */
void tmk_ring_populate(struct tmk_ring *ring);

/* Does the process that made it live? Its lock and its words in the header must both say
 * that it is gone before anything is changed here. */
enum tmk_owner_state tmk_rings_owner(const struct tmk_rings *r);

/* Has somebody else made the file shorter, or empty, so that what it holds is no longer what was
 * written? */
bool tmk_rings_gone(const struct tmk_rings *r);

/* Unmaps: never where a hook may hold a ring. */
void tmk_rings_close(struct tmk_rings *r, bool unlink_file);

/* In a forked child: gives up its copy of the descriptor, with which the parent's lock
 * would outlive the parent. The mapping stays. */
void tmk_rings_forked(struct tmk_rings *r);

/* Room for `size` bytes, or NULL while the ring is full. Producer only. */
static inline char *tmk_ring_reserve(struct tmk_ring *ring, uint32_t size)
{
	uint64_t head = atomic_load_explicit(&ring->cursor->head, memory_order_relaxed);
	if (head + size - ring->seen_tail > ring->size) {
		ring->seen_tail =
		        atomic_load_explicit(&ring->cursor->tail, memory_order_acquire);
		if (head + size - ring->seen_tail > ring->size)
			return NULL;
	}
	return ring->data + (head & (ring->size - 1));
}

/* Asks for the next record's lines, too: the writer's core has had them, and the locked
 * counter of the next record would wait for its predecessor's stores. */
static inline void tmk_ring_commit(struct tmk_ring *ring, uint32_t size)
{
	uint64_t head = atomic_load_explicit(&ring->cursor->head, memory_order_relaxed);
	head += size;
	atomic_store_explicit(&ring->cursor->head, head, memory_order_release);
	const char *next = ring->data + (head & (ring->size - 1));
	__asm__ volatile("prefetchw %0\n\tprefetchw %1"
	                 :
	                 : "m"(next[0]), "m"(next[64]));
}

/* Changes whenever record.h does. */
uint32_t tmk_ring_layout(void);

#endif
