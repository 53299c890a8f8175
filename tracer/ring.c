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
#include <unistd.h>

#include "place.h"
#include "record.h"

/* Threads may need a first ring at once. Held for a few system calls; nobody takes another
 * lock inside it. A forked child finds it in any state: creating clears it. */
static atomic_flag growing = ATOMIC_FLAG_INIT;

uint32_t tmk_ring_layout(void)
{
	/* Sizes of what is stored: a record that changed shape changes one of them, and
	 * the leading number is for changes of meaning alone. */
	return 2u << 24 | (uint32_t)sizeof(struct tmk_rec_event) << 16 |
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
	ring->cursor = (struct tmk_ring_cursor *)base;
	ring->data = base + TMK_RING_PAGE;
	ring->size = size;
	ring->read = ring->mark = ring->safe = ring->seen_tail =
	        atomic_load(&ring->cursor->tail);
	return 0;
}

static int lock_file(int fd, int command, struct flock *out)
{
	/* A POSIX lock: it goes with the process, not with a child that inherited the
	 * descriptor, and tells a reader on the same host that the owner lives. */
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int rc = fcntl(fd, command, &l) < 0 ? -errno : 0;
	if (out)
		*out = l;
	return rc;
}

static int open_for(struct tmk_rings *r, const char *trace)
{
	if (!tmk_place_is_network(trace)) {
		snprintf(r->path, sizeof r->path, "%s-ring", trace);
		r->fd = tmk_place_create(r->path);
		return r->fd;
	}
	const char *tmp = getenv("TMPDIR");
	const char *folders[] = {"/dev/shm", tmp ? tmp : "/tmp", "/tmp"};
	for (int i = 0; i < 3; i++) {
		snprintf(r->path, sizeof r->path, "%s/tidemark-%d-%ld.ring", folders[i],
		         (int)getpid(), (long)ring_offset(0, 1));
		r->fd = tmk_place_create(r->path);
		if (r->fd >= 0)
			break;
	}
	return r->fd;
}

int tmk_rings_create(struct tmk_rings *r, const char *trace, uint64_t ring_size)
{
	memset(r, 0, sizeof *r);
	r->shared = true;
	atomic_flag_clear(&growing);
	if (open_for(r, trace) < 0)
		return r->fd;
	lock_file(r->fd, F_SETLK,
	          NULL); /* first: unlocked and unfinished is nobody's */
	int err = -posix_fallocate(r->fd, 0, TMK_RING_PAGE);
	if (err)
		goto failed;
	r->header =
	        mmap(NULL, TMK_RING_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, 0);
	if (r->header == MAP_FAILED) {
		err = -errno;
		goto failed;
	}
	r->header->pid = getpid();
	r->header->layout = tmk_ring_layout();
	r->header->data_size = ring_size;
	snprintf(r->header->version, sizeof r->header->version, "%s", TIDEMARK_VERSION);
	snprintf(r->header->trace, sizeof r->header->trace, "%s", trace);
	atomic_thread_fence(memory_order_release);
	r->header->magic = TMK_RING_MAGIC;
	return 0;
failed:
	unlink(r->path);
	close(r->fd);
	return err;
}

static bool plausible(const struct tmk_ring_header *h, off_t size)
{
	uint32_t n = atomic_load(&h->rings);
	return h->data_size >= 4096 && h->data_size <= (uint64_t)1 << 40 &&
	       !(h->data_size & (h->data_size - 1)) && n <= TMK_MAX_RINGS &&
	       size >= ring_offset(h->data_size, n);
}

int tmk_rings_open(struct tmk_rings *r, const char *path, bool shared)
{
	memset(r, 0, sizeof *r);
	r->shared = shared;
	snprintf(r->path, sizeof r->path, "%s", path);
	r->fd = open(path, (shared ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW);
	if (r->fd < 0)
		return -errno;
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
	if (!r->header->magic) {
		err = -ENODATA;
		goto failed;
	}
	if (r->header->magic != TMK_RING_MAGIC ||
	    r->header->layout != tmk_ring_layout() || !plausible(r->header, st.st_size))
		goto failed;
	uint32_t n = atomic_load(&r->header->rings);
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
	while (atomic_flag_test_and_set(&growing))
		usleep(10);
	struct tmk_ring *got = NULL;
	uint32_t i = atomic_load(&r->header->rings);
	off_t at = ring_offset(r->header->data_size, i);
	if (i < TMK_MAX_RINGS &&
	    !posix_fallocate(r->fd, at, TMK_RING_PAGE + r->header->data_size) &&
	    !map_ring(r, i)) {
		got = &r->ring[i];
		atomic_store(&got->cursor->busy, 1);
		got->cursor->tid = tid;
		atomic_store(&r->header->rings, i + 1);
		atomic_store_explicit(&r->ready, i + 1, memory_order_release);
	}
	atomic_flag_clear(&growing);
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

int tmk_rings_orphaned(struct tmk_rings *r)
{
	struct flock l;
	int err = lock_file(r->fd, F_GETLK, &l);
	return err ? err : l.l_type == F_UNLCK;
}

bool tmk_rings_discard_unfinished(const char *path)
{
	struct tmk_rings r = {.fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW)};
	if (r.fd < 0)
		return false;
	bool orphan = tmk_rings_orphaned(&r) == 1;
	if (orphan)
		unlink(path);
	close(r.fd);
	return orphan;
}

void tmk_rings_close(struct tmk_rings *r, bool unlink_file)
{
	uint32_t n = atomic_load(&r->ready);
	for (uint32_t i = 0; i < n; i++)
		munmap(r->ring[i].cursor, TMK_RING_PAGE + 2 * r->ring[i].size);
	if (r->header && r->header != MAP_FAILED)
		munmap(r->header, TMK_RING_PAGE);
	if (unlink_file)
		unlink(r->path);
	close(r->fd);
	r->header = NULL;
	atomic_store(&r->ready, 0);
}
