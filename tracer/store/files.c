/* files.c - SQLite's system calls on the trace, made safe in somebody else's process.
 *
 * SQLite trusts that nobody closes its descriptors. A program may: one that becomes a
 * daemon closes all numbers, and then opens its own files with them, into which SQLite
 * would go on writing. So each call that writes or closes asks first whether the number
 * still stands for the file that was opened with it.
 * SQLite's locks are POSIX locks, which are lost when the program closes any descriptor of
 * the file: a backup of its output folder is enough, and a reader then truncates the
 * -shm file under the writer. Here they are locks of the open file description.
 * And it maps the -shm file, whose pages anybody may take away (mapped.h). What SQLite knew of
 * its log is gone then, and nothing is written after that.
 *
 * Called from: store.c by way of SQLite, on the one thread that has the store open;
 * tmk_files_forked in a forked child. Owns: the list of open files. */
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "mapped.h"
#include "owner.h"
#include "place.h"

enum { MOST = 16 }; /* a trace, its journal or log, its index; a folder being synced */
static struct {
	struct tmk_file file;
	int fd; /* 0, which none of ours is: free */
} opened[MOST];
static atomic_bool lost, cut;

static void remember(int fd)
{
	for (int i = 0; i < MOST; i++) {
		if (opened[i].fd > 0)
			continue;
		tmk_file_note(&opened[i].file, fd);
		opened[i].fd = fd;
		return;
	}
}

/* A number that was never noted (a list that is full) is trusted as SQLite trusts it. */
static bool still_ours(int fd)
{
	for (int i = 0; i < MOST; i++) {
		if (opened[i].fd != fd)
			continue;
		if (tmk_file_is(&opened[i].file, fd))
			return true;
		atomic_store(&lost, true);
		errno = EBADF;
		return false;
	}
	return true;
}

/* May it be written? */
static bool ours(int fd)
{
	errno = EIO;
	return !atomic_load(&cut) && still_ours(fd);
}

static int guarded_open(const char *path, int flags, int mode)
{
	int fd = tmk_place_above_stdio(open(path, flags | O_CLOEXEC, mode));
	if (fd >= 0)
		remember(fd);
	return fd;
}

static int guarded_close(int fd)
{
	bool is = still_ours(fd);
	for (int i = 0; i < MOST; i++)
		if (opened[i].fd == fd)
			opened[i].fd = 0;
	return is ? close(fd) : 0;
}

static ssize_t guarded_write(int fd, const void *data, size_t size)
{
	return ours(fd) ? write(fd, data, size) : -1;
}

static ssize_t guarded_pwrite(int fd, const void *data, size_t size, off64_t at)
{
	return ours(fd) ? pwrite64(fd, data, size, at) : -1;
}

static int guarded_truncate(int fd, off64_t size)
{
	return ours(fd) ? ftruncate64(fd, size) : -1;
}

static int guarded_fallocate(int fd, off64_t at, off64_t size)
{
	return ours(fd) ? -tmk_place_reserve(fd, at, size) : errno;
}

static int guarded_fcntl(int fd, int command, ...)
{
	va_list v;
	va_start(v, command);
	void *argument = va_arg(v, void *);
	va_end(v);
	if (!still_ours(fd))
		return -1;
	if (command == F_SETLK || command == F_SETLKW || command == F_GETLK)
		return tmk_lock_fcntl(fd, command, argument);
	return fcntl(fd, command, argument);
}

static void *guarded_mmap(void *at, size_t size, int may, int how, int fd, off64_t from)
{
	void *p = mmap64(at, size, may, how, fd, from);
	if (p != MAP_FAILED)
		tmk_mapped_note(p, size, &cut);
	return p;
}

static int guarded_munmap(void *at, size_t size)
{
	tmk_mapped_forget(at);
	return munmap(at, size);
}

const struct tmk_guarded_call tmk_guarded_calls[] = {
        {"open", (void (*)(void))guarded_open},
        {"close", (void (*)(void))guarded_close},
        {"write", (void (*)(void))guarded_write},
        {"pwrite", (void (*)(void))guarded_pwrite},
        {"pwrite64", (void (*)(void))guarded_pwrite},
        {"ftruncate", (void (*)(void))guarded_truncate},
        {"fallocate", (void (*)(void))guarded_fallocate},
        {"fcntl", (void (*)(void))guarded_fcntl},
        {"mmap", (void (*)(void))guarded_mmap},
        {"munmap", (void (*)(void))guarded_munmap},
        {NULL, NULL},
};

bool tmk_files_lost(void)
{
	for (int i = 0; i < MOST; i++)
		if (opened[i].fd > 0)
			still_ours(opened[i].fd);
	return atomic_load(&lost);
}

bool tmk_files_cut(void)
{
	return atomic_load(&cut);
}

static int patience; /* microseconds; the thread's that has the store open */

void tmk_files_patience(int milliseconds)
{
	patience = milliseconds * 1000;
}

int tmk_files_sleep(struct sqlite3_vfs *vfs, int microseconds)
{
	(void)vfs;
	if (atomic_load(&lost) || patience <= 0)
		return microseconds;
	int nap = microseconds < patience ? microseconds : patience;
	const struct timespec t = {nap / 1000000, nap % 1000000 * 1000L};
	nanosleep(&t, NULL);
	patience -= nap;
	return microseconds;
}

void tmk_files_forked(void)
{
	for (int i = 0; i < MOST; i++) {
		if (opened[i].fd > 0)
			tmk_file_close_in_child(&opened[i].file, &opened[i].fd);
		opened[i].fd = 0;
	}
	atomic_store(&lost, false);
	atomic_store(&cut, false);
}
