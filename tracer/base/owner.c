/* owner.c - a process' identity, and locks that only their holder can lose.
 * Called from: ring.c, recover.c, files.c. Owns nothing. */
#include "owner.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- locks --------------------------------------------------------------------------- */

#ifndef F_OFD_GETLK
#define F_OFD_GETLK  36
#define F_OFD_SETLK  37
#define F_OFD_SETLKW 38
#endif

int tmk_lock_fcntl(int fd, int command, struct flock *lock)
{
	static atomic_bool none; /* an old kernel, or one that only looks like Linux */
	int of_file = command == F_SETLK    ? F_OFD_SETLK
	              : command == F_SETLKW ? F_OFD_SETLKW
	                                    : F_OFD_GETLK;
	if (!atomic_load_explicit(&none, memory_order_relaxed)) {
		pid_t pid = lock->l_pid;
		lock->l_pid = 0; /* fcntl(2) asks for it */
		int rc = fcntl(fd, of_file, lock);
		if (rc >= 0 || errno != EINVAL)
			return rc;
		lock->l_pid = pid;
		atomic_store(&none, true);
	}
	return fcntl(fd, command, lock);
}

int tmk_lock_take(int fd, int byte)
{
	struct flock l = {
	        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
	if (!tmk_lock_fcntl(fd, F_SETLK, &l))
		return 0;
	return errno == EACCES ? -EAGAIN : -errno;
}

int tmk_lock_held(int fd, int byte)
{
	struct flock l = {
	        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
	if (tmk_lock_fcntl(fd, F_GETLK, &l))
		return -errno;
	return l.l_type != F_UNLCK;
}

/* ---- identity ------------------------------------------------------------------------ */

static void read_word(const char *path, char *to, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, to, size - 1);
	if (fd >= 0)
		close(fd);
	to[n > 0 ? n : 0] = 0;
	to[strcspn(to, "\n")] = 0;
}

/* Start time and state of a process; false where /proc does not show it. */
static bool read_stat(uint32_t pid, uint64_t *started, char *state)
{
	char path[64], text[1024];
	snprintf(path, sizeof(path), "/proc/%u/stat", pid);
	read_word(path, text, sizeof(text));
	/* The name, field 2, may hold blanks and parentheses of its own. */
	const char *at = strrchr(text, ')');
	if (!at || sscanf(at + 1, " %c", state) != 1)
		return false;
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	*started = at ? strtoull(at, NULL, 10) : 0;
	return at != NULL;
}

static uint64_t own_namespace(void)
{
	struct stat st;
	return stat("/proc/self/ns/pid", &st) ? 0 : (uint64_t)st.st_ino;
}

void tmk_owner_self(struct tmk_owner *o)
{
	char state;
	memset(o, 0, sizeof(*o));
	o->pid = (uint32_t)getpid();
	if (!read_stat(o->pid, &o->started, &state))
		o->started = 0;
	o->pid_namespace = own_namespace();
	read_word("/proc/sys/kernel/random/boot_id", o->boot, sizeof(o->boot));
	if (gethostname(o->host, sizeof(o->host) - 1))
		*o->host = 0;
}

/* Its first thread has ended (a zombie); do others go on? */
static bool has_threads(uint32_t pid)
{
	char path[64];
	int n = 0;
	snprintf(path, sizeof(path), "/proc/%u/task", pid);
	DIR *d = opendir(path);
	if (!d)
		return false;
	for (struct dirent *e; (e = readdir(d));)
		n += *e->d_name != '.';
	closedir(d);
	return n > 1;
}

enum tmk_owner_state tmk_owner_state(const struct tmk_owner *o)
{
	struct tmk_owner here;
	uint64_t started;
	char state;
	tmk_owner_self(&here);
	if (!here.started || !o->started || !*here.boot || !*o->boot || !o->pid)
		return TMK_OWNER_UNKNOWN;
	if (strncmp(here.boot, o->boot, sizeof(here.boot)))
		/* The same machine, started anew: nothing of then lives. */
		return *o->host && !strncmp(here.host, o->host, sizeof(here.host))
		               ? TMK_OWNER_GONE
		               : TMK_OWNER_UNKNOWN;
	if (!o->pid_namespace || here.pid_namespace != o->pid_namespace)
		return TMK_OWNER_UNKNOWN;
	/* /proc may hide other users' processes (hidepid); the number can still be asked. */
	if (!read_stat(o->pid, &started, &state))
		return kill((pid_t)o->pid, 0) && errno == ESRCH ? TMK_OWNER_GONE
		                                                : TMK_OWNER_UNKNOWN;
	if (started != o->started)
		return TMK_OWNER_GONE; /* the number is another process' now */
	return (state == 'Z' || state == 'X') && !has_threads(o->pid) ? TMK_OWNER_GONE
	                                                              : TMK_OWNER_LIVES;
}
