/* session.c - starting, finishing, forking.
 * Called from: hooks/process.c and, through tmk_session_ensure, every emitting hook. */
#include "session.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "emit.h"
#include "files.h"
#include "intern.h"
#include "latch.h"
#include "patience.h"
#include "place.h"
#include "settings.h"
#include "writer.h"

void (*tmk_session_about)(void);

static struct tmk_writer *writer;
static pthread_t writer_thread;

/* Is there a ring, log or journal of an earlier run whose trace is gone? SQLite would take
 * it for this one's. */
static const char *const suffixes[] = {"-ring", "-wal", "-shm", "-journal"};

static bool leftovers(const char *path)
{
	char beside[2112];
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(*suffixes); i++) {
		snprintf(beside, sizeof(beside), "%s%s", path, suffixes[i]);
		if (!access(beside, F_OK))
			return true;
	}
	return false;
}

/* A trace that could not be begun. */
static void remove_trace(const char *path)
{
	char beside[2112];
	unlink(path);
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(*suffixes); i++) {
		snprintf(beside, sizeof(beside), "%s%s", path, suffixes[i]);
		unlink(beside);
	}
}

/* Creates the trace file, beside an older one of that name if there is one. */
static int create_trace(char *path, size_t size)
{
	char wanted[2048];
	int err = tmk_place_expand(tmk_settings.out, wanted, sizeof(wanted));
	if (!err)
		err = tmk_place_inside(wanted, sizeof(wanted), tmk_defaults.out);
	if (err)
		return err;
	const char *dot = strrchr(wanted, '.');
	if (!dot || strchr(dot, '/'))
		dot = wanted + strlen(wanted);
	snprintf(path, size, "%s", wanted);
	int fd = leftovers(path) ? -EEXIST : tmk_place_create(path);
	for (int i = 2; fd == -EEXIST && i < 1000; i++) {
		snprintf(path, size, "%.*s-%d%s", (int)(dot - wanted), wanted, i, dot);
		fd = leftovers(path) ? -EEXIST : tmk_place_create(path);
		if (fd >= 0 && !tmk_settings.quiet)
			tmk_say("'%s' exists; writing '%s' instead", wanted, path);
	}
	if (fd < 0)
		return fd;
	if (*tmk_settings.announced && strcmp(tmk_settings.announced, path) != 0)
		tmk_say("writing '%s'", path);
	close(fd); /* SQLite opens it by name, on the writer thread */
	return 0;
}

/* The writer's stack is mapped here, once, and taken again in a forked child, where its thread
 * is not. From glibc it would be a stack that a thread has left behind, whose blocks of
 * thread-local storage pthread_create frees first, outside any lock that fork() takes (2.36:
 * get_cached_stack): in a child that was forked in the middle of that they are freed twice. */
static int set_stack(pthread_attr_t *attr)
{
	enum { SIZE = 8 << 20, GUARD = 64 << 10 };
	static char *stack;
	if (!stack) {
		char *p = mmap(NULL, SIZE + GUARD, PROT_NONE,
		               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK,
		               -1, 0);
		if (p == MAP_FAILED)
			return -errno;
		if (mprotect(p + GUARD, SIZE, PROT_READ | PROT_WRITE))
			return -errno;
		stack = p + GUARD;
	}
	return -pthread_attr_setstack(attr, stack, SIZE);
}

static int start_writer(void)
{
	sigset_t all, old;
	pthread_attr_t attr;
	int err = -pthread_attr_init(&attr);
	if (err)
		return err;
	err = set_stack(&attr);
	if (!err) {
		/* The program's signals are the program's threads' business. */
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &old);
		err = -pthread_create(&writer_thread, &attr, tmk_writer_run, writer);
		pthread_sigmask(SIG_SETMASK, &old, NULL);
	}
	pthread_attr_destroy(&attr);
	return err;
}

static void begin_clock(struct tmk_ring_header *h)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	h->started_unix_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	h->started_tick = tmk_tick();
	atomic_store(&h->anchor_tick, h->started_tick);
	atomic_store(&h->rate, (uint64_t)1 << 32);
}

/* Rings, then the trace: what cannot be had is known before anything is traced. Nothing
 * that was mapped is unmapped again: a failure costs some address space, once. */
static bool start(void)
{
	char path[2048];
	const char *failed = "create the trace file", *why = NULL;
	int err = create_trace(path, sizeof(path));
	if (err) {
		tmk_say("cannot %s '%s': %s; this program is not traced; set "
		        "TIDEMARK_OUT to a file that can be written",
		        failed, tmk_settings.out, strerror(-err));
		return false;
	}
	failed = "reserve space for the ring beside";
	err = tmk_rings_create(&tmk_rings, path, tmk_settings.ring_size);
	if (err)
		goto error_rings;
	/* The first ring now, while there is somebody to tell: on a full disk it cannot be. */
	struct tmk_ring *first = tmk_rings_acquire(&tmk_rings, 0);
	err = first ? 0 : -ENOSPC;
	if (err)
		goto error_writer;
	tmk_ring_release(first);
	begin_clock(tmk_rings.header);
	failed = "start the writer for";
	err = tmk_intern_init();
	if (err)
		goto error_writer;
	writer = tmk_writer_new(&tmk_rings, path);
	err = writer ? start_writer() : -ENOMEM;
	if (err)
		goto error_writer;
	why = tmk_writer_wait_open(writer);
	failed = "write";
	if (why)
		goto error_writer;
	return true;

error_writer:
	unlink(tmk_rings.path);
error_rings:
	remove_trace(path);
	tmk_say("cannot %s '%s': %s; this program is not traced", failed, path,
	        why ? why : strerror(-err));
	return false;
}

/* A child that was forked in the middle of a change to SQLite's own state, which is for the whole
 * process: what half of a change makes of it nobody knows. Or while another thread was in the
 * loader's list of objects, whose lock this process will never have. */
static bool torn;

static bool may_start(void)
{
	if (torn)
		tmk_say("this process was forked while its parent was recording, and "
		        "waiting would have taken too long; this process is not "
		        "traced");
	return !torn;
}

/* Events of threads that would not wait for another one's start. */
static _Atomic uint64_t too_early;

static void say_too_early(uint64_t count)
{
	if (count)
		tmk_emit_lost("too_early", count,
		              "events while another thread began the trace");
}

/* Another thread's first event creates the files. Whichever of the two sees the other's word tells
 * of what was dropped. */
static bool wait_for_start(void)
{
	enum { NAP = 500000 }; /* ns */
	bool patient = true;
	while (patient && atomic_load(&tmk_state) == TMK_STARTING)
		patient = tmk_patience_nap(NAP);
	if (patient || atomic_load(&tmk_state) != TMK_STARTING)
		return atomic_load(&tmk_state) == TMK_ACTIVE;
	uint64_t count = atomic_fetch_add(&too_early, 1) + 1;
	if (atomic_load(&tmk_state) == TMK_ACTIVE)
		say_too_early(count);
	return false;
}

/* The writer may have failed by now, where it took longer to open the trace than it was waited
 * for: then nothing is traced, whatever was begun. */
static bool begun(bool ok)
{
	int starting = TMK_STARTING;
	bool is = atomic_compare_exchange_strong(&tmk_state, &starting,
	                                         ok ? TMK_ACTIVE : TMK_DISABLED);
	return ok && is && !tmk_writer_refused(writer);
}

bool tmk_session_ensure(void)
{
	int s = atomic_load_explicit(&tmk_state, memory_order_acquire);
	if (s == TMK_ACTIVE)
		return true;
	int idle = TMK_IDLE;
	if (s == TMK_IDLE &&
	    atomic_compare_exchange_strong(&tmk_state, &idle, TMK_STARTING)) {
		tmk_latch(TMK_LATCH_START);
		bool ok = may_start() && start();
		tmk_unlatch(TMK_LATCH_START);
		ok = begun(ok);
		if (ok) {
			say_too_early(atomic_load(&too_early));
			if (tmk_session_about)
				tmk_session_about();
		}
		return ok;
	}
	return wait_for_start();
}

void tmk_session_finish(int status, bool known)
{
	if (atomic_load(&tmk_state) != TMK_ACTIVE || tmk_self.guard)
		return;
	tmk_self.guard = 1;
	struct tmk_rec_end *r = tmk_begin(TMK_REC_END, 0, sizeof(*r));
	if (r) {
		r->status = status;
		r->known = known;
		tmk_end(r);
	}
	int active = TMK_ACTIVE;
	if (atomic_compare_exchange_strong(&tmk_state, &active, TMK_FINISHED)) {
		enum { TWO_SECONDS = 2000000000 };
		tmk_writer_stop(writer);
		if (!tmk_writer_wait_done(writer, TWO_SECONDS))
			tmk_say("the writer needs more than 2 s; 'tidemark report' "
			        "will finish '%s'",
			        tmk_rings.header->trace);
		else if (status && !tmk_settings.quiet && *tmk_writer_died(writer))
			tmk_say("out of memory in %s; tidemark oom %s",
			        tmk_writer_died(writer), tmk_rings.header->trace);
	}
	tmk_self.guard = 0;
}

void tmk_session_forked(uint32_t missing)
{
	/* Nothing is unmapped or unlocked: it is the parent's, and a thread that does not
	 * exist here may have held any of it. But this process' copies of its descriptors
	 * would keep its locks when it is gone. */
	tmk_rings_forked(&tmk_rings);
	tmk_files_forked();
	atomic_fetch_add(&tmk_generation, 1);
	tmk_emit_forked();
	atomic_store(&too_early, 0);
	int s = atomic_load(&tmk_state);
	if (s == TMK_ACTIVE || s == TMK_STARTING)
		atomic_store(&tmk_state, TMK_IDLE);
	writer = NULL;
	torn |= (missing >> TMK_LATCH_STORE | missing >> TMK_LATCH_LOADER) & 1;
}
