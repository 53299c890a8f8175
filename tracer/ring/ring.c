/* ring.c - making, mapping and finding the ring file.
 * Called from: session.c (start), emit.c (a thread's first event), writer.c, recover.c.
 * Owns: the mappings. Reserve and commit are in ring.h, on the hot path. */
#include "ring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "latch.h"
#include "mapped.h"
#include "place.h"
#include "record.h"
#include "settings.h"

uint32_t tmk_ring_layout(void)
{
	/* Sizes of what is stored: a record that changed shape changes one of them, and
	 * the leading number is for changes of meaning alone. */
	return 3u << 24 | (uint32_t)sizeof(struct tmk_rec_event) << 16 |
	       (uint32_t)(sizeof(struct tmk_rec_oom) + sizeof(struct tmk_rec_segment))
	               << 4 |
	       TMK_REC_END % 16;
}

static off_t ring_offset(uint64_t size, uint32_t i)
{
	return TMK_RING_PAGE + (off_t)i * (TMK_RING_PAGE + size);
}

static int map_ring(struct tmk_rings *r, uint32_t i)
{
	uint64_t size = r->header->data_size;
	off_t at = ring_offset(size, i);
	struct tmk_ring *ring = &r->ring[i];
	const int rw = PROT_READ | PROT_WRITE;
	const int how = r->shared ? MAP_SHARED : MAP_PRIVATE;

	char *base = mmap(NULL, TMK_RING_PAGE + 2 * size, PROT_NONE,
	                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED)
		return -errno;
	if (mmap(base, TMK_RING_PAGE + size, rw, how | MAP_FIXED, r->fd, at) ==
	            MAP_FAILED ||
	    mmap(base + TMK_RING_PAGE + size, size, rw, how | MAP_FIXED, r->fd,
	         at + TMK_RING_PAGE) == MAP_FAILED) {
		int err = -errno;
		munmap(base, TMK_RING_PAGE + 2 * size);
		return err;
	}
	tmk_mapped_note(base, TMK_RING_PAGE + 2 * size, &r->gone);
	ring->cursor = (struct tmk_ring_cursor *)base;
	ring->data = base + TMK_RING_PAGE;
	ring->size = size;
	ring->read = ring->mark = ring->safe = ring->seen_tail =
	        atomic_load(&ring->cursor->tail);
	return 0;
}

static int open_for(struct tmk_rings *r, const char *trace, const char *token)
{
	if (!tmk_place_is_network(trace)) {
		snprintf(r->path, sizeof(r->path), "%s-ring", trace);
		r->fd = tmk_place_create(r->path);
		return r->fd;
	}
	const char *tmp = getenv("TMPDIR");
	const char *folders[] = {"/dev/shm", tmp ? tmp : "/tmp", "/tmp"};
	for (int i = 0; i < 3; i++) {
		snprintf(r->path, sizeof(r->path), "%s/tidemark-%d-%.12s.ring",
		         folders[i], (int)getpid(), token);
		r->fd = tmk_place_create(r->path);
		if (r->fd >= 0)
			break;
	}
	return r->fd;
}

/* 32 hexadecimal digits that no other run has. */
static void make_token(char token[33])
{
	uint64_t n[2] = {0, 0};
	/* Never waits; where there is none yet (a machine that boots) clocks must do. */
	if (syscall(SYS_getrandom, n, sizeof(n), 1 /* GRND_NONBLOCK */) != sizeof(n)) {
		struct timespec t;
		clock_gettime(CLOCK_REALTIME, &t);
		n[0] = (uint64_t)t.tv_sec << 30 ^ (uint64_t)t.tv_nsec;
		n[1] = (uint64_t)getpid() << 32 ^ (uintptr_t)token;
	}
	snprintf(token, 33, "%016llx%016llx", (unsigned long long)n[0],
	         (unsigned long long)n[1]);
}

int tmk_rings_create(struct tmk_rings *r, const char *trace, uint64_t ring_size)
{
	char token[33];
	memset(r, 0, sizeof(*r));
	r->shared = true;
	make_token(token);
	if (open_for(r, trace, token) < 0)
		return r->fd;
	/* First: unlocked and unfinished is nobody's. Where locks are refused the owner's
	 * words in the header have to do. */
	tmk_lock_take(r->fd, TMK_LOCK_OWNER);
	tmk_file_note(&r->file, r->fd);
	int err = tmk_place_reserve(r->fd, 0, TMK_RING_PAGE);
	if (err)
		goto failed;
	r->header =
	        mmap(NULL, TMK_RING_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, 0);
	if (r->header == MAP_FAILED) {
		err = -errno;
		goto failed;
	}
	tmk_mapped_note(r->header, TMK_RING_PAGE, &r->gone);
	tmk_owner_self(&r->header->owner);
	memcpy(r->header->token, token, sizeof(token));
	r->header->layout = tmk_ring_layout();
	r->header->data_size = ring_size;
	snprintf(r->header->version, sizeof(r->header->version), "%s",
	         TIDEMARK_VERSION);
	snprintf(r->header->trace, sizeof(r->header->trace), "%s", trace);
	atomic_thread_fence(memory_order_release);
	r->header->magic = TMK_RING_MAGIC;
	return 0;
failed:
	unlink(r->path);
	close(r->fd);
	return err;
}

static bool plausible(const struct tmk_ring_header *h)
{
	return h->data_size >= 4096 && h->data_size <= TMK_RING_MOST &&
	       !(h->data_size & (h->data_size - 1)) &&
	       atomic_load(&h->rings) <= TMK_MAX_RINGS;
}

int tmk_rings_open(struct tmk_rings *r, const char *path, bool shared)
{
	memset(r, 0, sizeof(*r));
	r->shared = shared;
	snprintf(r->path, sizeof(r->path), "%s", path);
	r->fd = open(path, (shared ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW);
	if (r->fd < 0)
		return -errno;
	tmk_file_note(&r->file, r->fd);
	struct stat st;
	int err = -EPROTO;
	if (fstat(r->fd, &st) < 0)
		goto failed;
	if (st.st_size < TMK_RING_PAGE) {
		err = st.st_size ? -EPROTO : -ENODATA;
		goto failed;
	}
	r->header = mmap(NULL, TMK_RING_PAGE, PROT_READ | PROT_WRITE,
	                 shared ? MAP_SHARED : MAP_PRIVATE, r->fd, 0);
	if (r->header == MAP_FAILED) {
		err = -errno;
		goto failed;
	}
	tmk_mapped_note(r->header, TMK_RING_PAGE, &r->gone);
	if (!r->header->magic) {
		/* Larger: it was complete once, and its first page is lost. */
		err = st.st_size > TMK_RING_PAGE ? -EUCLEAN : -ENODATA;
		goto failed;
	}
	if (r->header->magic != TMK_RING_MAGIC ||
	    r->header->layout != tmk_ring_layout() || !plausible(r->header))
		goto failed;
	uint32_t n = atomic_load(&r->header->rings);
	if (st.st_size < ring_offset(r->header->data_size, n)) {
		err = -EUCLEAN;
		goto failed;
	}
	for (uint32_t i = 0; i < n; i++) {
		err = map_ring(r, i);
		if (err)
			goto failed;
		atomic_store(&r->ready, i + 1);
	}
	return 0;
failed:
	tmk_rings_close(r, false);
	return err;
}

/* A program may close descriptors that it never opened, and open files of its own with
 * their numbers. Is ours still ours, or to be had again? */
static bool still_open(struct tmk_rings *r)
{
	if (tmk_file_is(&r->file, r->fd))
		return true;
	int fd = tmk_place_above_stdio(open(r->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW));
	if (fd < 0)
		return false;
	if (!tmk_file_is(&r->file, fd)) {
		close(fd);
		return false;
	}
	tmk_lock_take(fd, TMK_LOCK_OWNER);
	r->fd = fd;
	return true;
}

struct tmk_ring *tmk_rings_acquire(struct tmk_rings *r, uint32_t tid)
{
	uint32_t n = atomic_load(&r->ready);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t no = 0;
		if (!atomic_load_explicit(&r->ring[i].cursor->busy,
		                          memory_order_relaxed) &&
		    atomic_compare_exchange_strong(&r->ring[i].cursor->busy, &no, 1)) {
			r->ring[i].cursor->tid = tid;
			return &r->ring[i];
		}
	}
	tmk_latch(TMK_LATCH_RINGS); /* held for a few system calls */
	struct tmk_ring *got = NULL;
	uint32_t i = atomic_load(&r->header->rings);
	off_t at = ring_offset(r->header->data_size, i);
	if (i < TMK_MAX_RINGS && still_open(r) &&
	    !tmk_place_reserve(r->fd, at,
	                       TMK_RING_PAGE + (off_t)r->header->data_size) &&
	    !map_ring(r, i)) {
		got = &r->ring[i];
		atomic_store(&got->cursor->busy, 1);
		got->cursor->tid = tid;
		atomic_store(&r->header->rings, i + 1);
		atomic_store_explicit(&r->ready, i + 1, memory_order_release);
	}
	tmk_unlatch(TMK_LATCH_RINGS);
	return got;
}

void tmk_ring_release(struct tmk_ring *ring)
{
	atomic_store_explicit(&ring->cursor->busy, 0, memory_order_release);
}

void tmk_ring_populate(struct tmk_ring *ring)
{
	/* A thread that says little keeps little memory. */
	enum { WORTH = 16 << 10, AHEAD = 512 << 10, POPULATE_WRITE = 23 };
	uint64_t head = atomic_load_explicit(&ring->cursor->head, memory_order_relaxed);
	uint64_t to = (head + AHEAD) & ~(uint64_t)(TMK_RING_PAGE - 1);
	if (to > ring->size)
		to = ring->size;
	if (head < WORTH || to <= ring->populated)
		return;
	int err = madvise(ring->data + ring->populated, to - ring->populated,
	                  POPULATE_WRITE);
	ring->populated = err ? ring->size : to;
}

enum tmk_owner_state tmk_rings_owner(const struct tmk_rings *r)
{
	/* A lock that cannot be asked for says nothing; one that is held says enough. */
	if (tmk_lock_held(r->fd, TMK_LOCK_OWNER) == 1)
		return TMK_OWNER_LIVES;
	return tmk_owner_state(&r->header->owner);
}

bool tmk_rings_gone(const struct tmk_rings *r)
{
	return atomic_load_explicit(&r->gone, memory_order_relaxed) ||
	       r->header->magic != TMK_RING_MAGIC;
}

bool tmk_rings_discard_unfinished(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return false;
	bool orphan = tmk_lock_held(fd, TMK_LOCK_OWNER) == 0;
	if (orphan)
		unlink(path);
	close(fd);
	return orphan;
}

void tmk_rings_close(struct tmk_rings *r, bool unlink_file)
{
	uint32_t n = atomic_load(&r->ready);
	for (uint32_t i = 0; i < n; i++) {
		tmk_mapped_forget(r->ring[i].cursor);
		munmap(r->ring[i].cursor, TMK_RING_PAGE + 2 * r->ring[i].size);
	}
	if (r->header && r->header != MAP_FAILED) {
		tmk_mapped_forget(r->header);
		munmap(r->header, TMK_RING_PAGE);
	}
	if (unlink_file)
		unlink(r->path);
	close(r->fd);
	r->header = NULL;
	atomic_store(&r->ready, 0);
}

void tmk_rings_forked(struct tmk_rings *r)
{
	tmk_file_close_in_child(&r->file, &r->fd);
	atomic_store(&r->gone, false);
}
