/* recover.c - the ring of a run that is over, or a copy of a living one's.
 *
 * In place only where the owner's lock and its words in the ring's header agree that it is
 * gone; else on a copy, in a file of the caller's. What a writer may hold is not changed:
 * traces are looked at through connections that write nothing, not even SQLite's -shm file,
 * and rings by reading the file.
 * One recovery at a time: a lock of the ring (owner.h) makes a second one wait.
 *
 * Called from: hooks/api.c (tidemark_recover), in a process of the command's. */
#include "recover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "ring.h"
#include "settings.h"
#include "store.h"
#include "writer.h"

struct job {
	const char *trace, *into;
	struct tmk_store_about about;
	char ring[2112];
	struct tmk_rings rings;
	char *message;
	size_t size;
};

static int failed(const struct job *j, const char *format, const char *what)
{
	snprintf(j->message, j->size, format, what);
	return TMK_RECOVER_FAILED;
}

static bool beside(const char *trace, const char *suffix)
{
	char path[2200];
	struct stat st;
	snprintf(path, sizeof(path), "%s%s", trace, suffix);
	return !stat(path, &st) && st.st_size > 0;
}

static bool lies_beside(const char *trace, const char *suffix)
{
	char path[2200];
	snprintf(path, sizeof(path), "%s%s", trace, suffix);
	return !access(path, F_OK);
}

/* ---- a trace whose run has ended ----------------------------------------------------- */

/* Its writer, or a recovery, was ended between the last rows and the removal of what lay
 * beside the trace, or had other readers beside it. SQLite's own locks keep two from doing it
 * at once. */
static int tidy(struct job *j, const char *ring)
{
	if (!j->about.ended)
		return TMK_RECOVER_NOTHING;
	if (!ring && !*j->about.ring && !lies_beside(j->trace, "-wal") &&
	    !lies_beside(j->trace, "-shm") && !beside(j->trace, "-journal"))
		return TMK_RECOVER_NOTHING;
	if (j->into || access(j->trace, W_OK))
		return TMK_RECOVER_NOTHING;
	struct tmk_store *s = tmk_store_open(j->trace, j->message, j->size);
	if (s)
		tmk_store_finish(s, ring);
	*j->message = 0; /* the answer is whole with it, too */
	return TMK_RECOVER_NOTHING;
}

/* ---- a copy -------------------------------------------------------------------------- */

static bool read_all(int fd, void *to, size_t size, off_t at)
{
	ssize_t n;
	for (char *p = to; size; p += n, at += n, size -= (size_t)n) {
		n = pread(fd, p, size, at);
		if (n <= 0)
			return false;
	}
	return true;
}

static bool write_all(int fd, const void *from, size_t size, off_t at)
{
	ssize_t n;
	for (const char *p = from; size; p += n, at += n, size -= (size_t)n) {
		n = pwrite(fd, p, size, at);
		if (n <= 0)
			return false;
	}
	return true;
}

static bool copy_range(int in, int out, uint64_t size, off_t at)
{
	static char buffer[1 << 18];
	while (size) {
		size_t part = size < sizeof(buffer) ? (size_t)size : sizeof(buffer);
		if (!read_all(in, buffer, part, at) ||
		    !write_all(out, buffer, part, at))
			return false;
		size -= part;
		at += (off_t)part;
	}
	return true;
}

/* What SQLite cannot open where nothing may be written: a log without its -shm, a journal to
 * roll back. Nobody has such a trace open. */
static int copy_files(const char *from, const char *to)
{
	static const char *const suffixes[] = {"", "-wal", "-journal"};
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(*suffixes); i++) {
		char a[2200], b[2200];
		struct stat st;
		snprintf(a, sizeof(a), "%s%s", from, suffixes[i]);
		snprintf(b, sizeof(b), "%s%s", to, suffixes[i]);
		int in = open(a, O_RDONLY | O_CLOEXEC);
		if (in < 0 && i)
			continue;
		int out = open(b, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		bool done = in >= 0 && out >= 0 && !fstat(in, &st) &&
		            copy_range(in, out, (uint64_t)st.st_size, 0);
		close(in);
		close(out);
		if (!done)
			return -1;
	}
	return 0;
}

/* One thread's ring, while it is written: what lies between the tail after its data were
 * read and the head before it was there all the while. */
static bool copy_ring(int in, int out, uint64_t size, off_t at)
{
	struct tmk_ring_cursor before, after;
	if (!read_all(in, &before, sizeof(before), at) ||
	    !copy_range(in, out, size, at + TMK_RING_PAGE) ||
	    !read_all(in, &after, sizeof(after), at))
		return false;
	uint64_t head = atomic_load(&before.head), tail = atomic_load(&after.tail);
	atomic_store(&before.tail, tail < head ? tail : head);
	return write_all(out, &before, sizeof(before), at);
}

static int copy_rings(const char *from, const char *to)
{
	char page[TMK_RING_PAGE];
	struct stat st;
	int in = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	int out = open(to, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool done = in >= 0 && out >= 0 && !fstat(in, &st) &&
	            read_all(in, page, sizeof(page), 0);
	struct tmk_ring_header *h = (struct tmk_ring_header *)page;
	uint32_t n = done ? atomic_load(&h->rings) : 0;
	uint64_t size = done ? h->data_size : 0;
	if (n > TMK_MAX_RINGS || size > TMK_RING_MOST) /* tmk_rings_open refuses it */
		n = 0;
	for (uint32_t i = 0; done && i < n; i++) {
		off_t at = TMK_RING_PAGE + (off_t)i * (off_t)(TMK_RING_PAGE + size);
		done = copy_ring(in, out, size, at);
	}
	/* The header as it was first: the copy ends with the number it says. */
	if (done)
		atomic_store(&h->rings, n);
	done = done && write_all(out, page, sizeof(page), 0) &&
	       !ftruncate(out,
	                  TMK_RING_PAGE + (off_t)n * (off_t)(TMK_RING_PAGE + size));
	int err = done ? 0 : errno ? -errno : -EIO;
	close(in);
	close(out);
	return err;
}

static const char *how_it_ended(const struct tmk_rings *r)
{
	return atomic_load(&r->header->stopped) ? "stopped" : "killed";
}

static int copy_trace(const struct job *j)
{
	int err = tmk_store_copy(j->trace, j->into, j->message, j->size);
	if (err && !beside(j->trace, "-shm")) {
		unlink(j->into);
		err = copy_files(j->trace, j->into);
		if (!err)
			*j->message = 0;
	}
	return err;
}

/* The rings first, then the trace. What moved from one to the other in between is then in
 * both, and recovery leaves out what the trace has. */
static int on_a_copy(struct job *j, bool gone)
{
	char ring[2200];
	struct tmk_rings r;
	struct tmk_store_about about;
	snprintf(ring, sizeof(ring), "%s-ring", j->into);
	int err = copy_rings(j->ring, ring);
	if (err) {
		unlink(ring);
		return err == -ENOENT ? TMK_RECOVER_NOTHING /* finished meanwhile */
		                      : failed(j, "cannot copy '%s'", j->ring);
	}
	unlink(j->into);
	err = copy_trace(j);
	if (!err && tmk_store_about(j->into, &about) && about.ended) {
		unlink(ring);
		return TMK_RECOVERED; /* it ended while it was copied */
	}
	if (!err && tmk_rings_open(&r, ring, false))
		err = failed(j, "'%s' is damaged, or was written by another version",
		             j->ring);
	else if (!err) {
		err = tmk_writer_recover(&r, j->into, gone ? how_it_ended(&r) : NULL,
		                         NULL, j->message, j->size);
		tmk_rings_close(&r, false);
	}
	unlink(ring);
	return err;
}

/* What the trace says of itself. A rollback journal that a killed writer left (there is one
 * on network file systems alone) is played back on a copy: here nobody knows yet whether the
 * writer lives. So is a log without its -shm: a reader was killed while it removed both. */
static void ask_trace(struct job *j)
{
	const char *tmp = getenv("TMPDIR");
	static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
	char copy[2112], path[2200];
	if (tmk_store_about(j->trace, &j->about) ||
	    (!beside(j->trace, "-journal") && !beside(j->trace, "-wal")))
		return;
	snprintf(copy, sizeof(copy), "%s/tidemark-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	int fd = mkstemp(copy);
	if (fd < 0)
		return;
	close(fd);
	char why[256];
	struct tmk_store *s = copy_files(j->trace, copy)
	                              ? NULL
	                              : tmk_store_open(copy, why, sizeof(why));
	if (s) {
		tmk_store_close(s);
		tmk_store_about(copy, &j->about);
	}
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(*suffixes); i++) {
		snprintf(path, sizeof(path), "%s%s", copy, suffixes[i]);
		unlink(path);
	}
}

/* ---- in place ------------------------------------------------------------------------ */

/* Waits for another reader that is at it. */
static bool lock_recovery(const struct tmk_rings *r)
{
	const struct timespec nap = {.tv_nsec = 20000000};
	for (int i = 0; i < 500; i++) {
		int err = tmk_lock_take(r->fd, TMK_LOCK_RECOVERY);
		if (err != -EAGAIN)
			return true; /* also where there are no locks */
		nanosleep(&nap, NULL);
	}
	return false;
}

static int in_place(struct job *j)
{
	struct stat st;
	if (!lock_recovery(&j->rings))
		return TMK_RECOVER_UNKNOWN;
	/* Somebody may have finished it while this one waited. */
	bool gone = stat(j->ring, &st) || !tmk_file_is(&j->rings.file, j->rings.fd) ||
	            (uint64_t)st.st_ino != j->rings.file.inode;
	ask_trace(j);
	if (gone || j->about.ended)
		return tidy(j, gone ? NULL : j->ring);
	return tmk_writer_recover(&j->rings, j->trace, how_it_ended(&j->rings), j->ring,
	                          j->message, j->size);
}

/* ---- together ------------------------------------------------------------------------ */

/* Beside the trace, or where the trace says (its own folder is on a network). */
static bool find_ring(struct job *j)
{
	struct stat st;
	snprintf(j->ring, sizeof(j->ring), "%s-ring", j->trace);
	if (!stat(j->ring, &st))
		return true;
	snprintf(j->ring, sizeof(j->ring), "%s", j->about.ring);
	return *j->ring && !stat(j->ring, &st);
}

static int open_rings(struct job *j)
{
	int err = tmk_rings_open(&j->rings, j->ring, true);
	if (err == -EACCES || err == -EROFS || err == -EPERM)
		err = tmk_rings_open(&j->rings, j->ring, false);
	switch (err) {
	case 0:
		return 0;
	case -ENODATA:
		/* The trace is begun when the ring is whole: then somebody has emptied it. */
		if (j->about.begun)
			return failed(j, "'%s' is damaged", j->ring);
		tmk_rings_discard_unfinished(j->ring);
		return TMK_RECOVER_NOTHING;
	case -ENOENT:
		return TMK_RECOVER_NOTHING;
	case -EUCLEAN:
		return failed(j, "'%s' is damaged", j->ring);
	case -EPROTO:
		return failed(j, "'%s' was written by another version of tidemark",
		              j->ring);
	default:
		return failed(j, "cannot open '%s'", j->ring);
	}
}

/* A copy of a trace names the original's ring as its own. What does not lie beside this
 * trace, and was made for another file that is still there, is only read. */
static bool is_the_originals(const struct job *j)
{
	char path[sizeof(j->rings.header->trace) + 1], own[2200];
	struct stat made_for, here;
	snprintf(own, sizeof(own), "%s-ring", j->trace);
	snprintf(path, sizeof(path), "%.*s", (int)sizeof(j->rings.header->trace),
	         j->rings.header->trace);
	return strcmp(j->ring, own) != 0 && !stat(path, &made_for) &&
	       !stat(j->trace, &here) &&
	       (made_for.st_ino != here.st_ino || made_for.st_dev != here.st_dev);
}

static int with_rings(struct job *j)
{
	const struct tmk_ring_header *h = j->rings.header;
	if (*j->about.token && strncmp(j->about.token, h->token, sizeof(h->token)))
		return failed(j, "'%s' belongs to another run", j->ring);
	bool foreign = is_the_originals(j);
	if (j->about.ended && foreign)
		return tidy(j, NULL);
	if (j->about.ended && tmk_rings_owner(&j->rings) != TMK_OWNER_GONE)
		return TMK_RECOVER_NOTHING; /* its writer is about to remove it */
	if (j->about.ended)
		return tidy(j, j->ring);
	enum tmk_owner_state owner = tmk_rings_owner(&j->rings);
	bool copies = owner != TMK_OWNER_GONE || !j->rings.shared || foreign ||
	              access(j->trace, W_OK) || j->into;
	if (!copies)
		return in_place(j);
	if (j->into)
		return on_a_copy(j, owner == TMK_OWNER_GONE);
	return owner == TMK_OWNER_LIVES ? TMK_RECOVER_LIVES : TMK_RECOVER_UNKNOWN;
}

int tmk_recover(const char *trace, const char *into, char *message, size_t size)
{
	struct job *j = calloc(1, sizeof(*j));
	struct stat st;
	*message = 0;
	if (!j)
		return TMK_RECOVER_FAILED;
	*j = (struct job){
	        .trace = trace, .into = into, .message = message, .size = size};
	tmk_clock_init();
	int rc = 0;
	if (stat(trace, &st)) {
		snprintf(message, size, "cannot read '%s': %s", trace, strerror(errno));
		rc = TMK_RECOVER_FAILED;
	} else {
		ask_trace(j);
		if (!find_ring(j))
			rc = !j->about.ended && j->about.begun
			             ? failed(j, "'%s', which holds them, is not here",
			                      *j->about.ring ? j->about.ring
			                                     : "its ring")
			             : tidy(j, NULL);
		else if (!(rc = open_rings(j))) {
			rc = with_rings(j);
			tmk_rings_close(&j->rings, false);
		}
	}
	free(j);
	return rc;
}
