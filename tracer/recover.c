/* recover.c - the ring of a dead process, or a copy of a living one's.
 * Called from: hooks/api.c (tidemark_recover), in a process of the command's. */
#include "recover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "ring.h"
#include "settings.h"
#include "store.h"
#include "writer.h"

static void read_ring(struct tmk_row *row, void *context)
{
	const char *text = tmk_row_text(row, 0);
	if (text)
		snprintf(context, 2112, "%s", text);
}

/* Beside the trace, or where the trace says (its own folder is on a network). */
static int find_ring(const char *trace, char *path, char *message, size_t size)
{
	struct stat st;
	snprintf(path, 2112, "%s-ring", trace);
	if (!stat(path, &st))
		return 0;
	*path = 0;
	if (stat(trace, &st))
		return -errno;
	if (!st.st_size)
		return 1;
	struct tmk_store *s = tmk_store_open(trace, message, size);
	if (!s)
		return -EIO;
	tmk_store_read(s, "SELECT ring FROM run WHERE ended IS NULL", read_ring, path);
	tmk_store_close(s);
	return *path ? 0 : 1;
}

static int copy_file(const char *from, const char *to)
{
	char buffer[1 << 16];
	ssize_t n = 0;
	int in = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	int err = in < 0 || out < 0 ? -errno : 0;
	while (!err && (n = read(in, buffer, sizeof buffer)) > 0)
		if (write(out, buffer, n) != n)
			err = -errno;
	if (n < 0)
		err = -errno;
	close(in);
	close(out);
	return err;
}

/* A run that goes on: the rings first, then the trace. What moved from one to the other
 * in between is then in both, and recovery leaves out what the trace has. */
static int snapshot(const char *trace, const char *ring, const char *into,
                    char *message, size_t size)
{
	char ring_copy[2200];
	struct tmk_rings r;
	snprintf(ring_copy, sizeof ring_copy, "%s-ring", into);
	int err = copy_file(ring, ring_copy);
	if (err) {
		snprintf(message, size, "cannot copy '%s': %s", ring, strerror(-err));
		return -1;
	}
	unlink(into);
	err = tmk_store_copy(trace, into, message, size);
	if (!err && tmk_rings_open(&r, ring_copy, false)) {
		snprintf(message, size, "'%s' was written by another version", ring);
		err = -1;
	} else if (!err) {
		err = tmk_writer_recover(&r, into, NULL, message, size);
		tmk_rings_close(&r, false);
	}
	unlink(ring_copy);
	return err;
}

int tmk_recover(const char *trace, const char *into, char *message, size_t size)
{
	char path[2112];
	struct tmk_rings r;
	*message = 0;
	tmk_clock_init();
	int rc = find_ring(trace, path, message, size);
	if (rc) {
		if (rc < 0 && !*message)
			snprintf(message, size, "cannot read '%s': %s", trace,
			         strerror(-rc));
		return rc;
	}
	int err = tmk_rings_open(&r, path, true);
	if (err == -ENOENT)
		return 1;
	if (err == -ENODATA) {
		tmk_rings_discard_unfinished(path);
		return 1;
	}
	if (err) {
		snprintf(message, size,
		         err == -EPROTO
		                 ? "'%s' was written by another version of tidemark"
		                 : "cannot open '%s'",
		         path);
		return -1;
	}
	int orphaned = tmk_rings_orphaned(&r);
	if (orphaned != 1) {
		tmk_rings_close(&r, false);
		return into ? snapshot(trace, path, into, message, size) : 2;
	}
	if (into && access(trace, W_OK)) {
		tmk_rings_close(&r, false);
		return snapshot(trace, path, into, message, size);
	}
	const char *ended = atomic_load(&r.header->stopped) ? "stopped" : "killed";
	rc = tmk_writer_recover(&r, trace, ended, message, size);
	tmk_rings_close(&r, rc == 0);
	return rc;
}
