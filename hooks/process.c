/* process.c - loading, forking, leaving.
 * Called from: the loader (before main, possibly after other libraries' constructors have
 * called our wrappers: everything works without it), libc. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "about.h"
#include "clock.h"
#include "cstack.h"
#include "emit.h"
#include "doing.h"
#include "enrich.h"
#include "latch.h"
#include "look.h"
#include "mapped.h"
#include "nvtx.h"
#include "phase.h"
#include "pointer.h"
#include "prepare.h"
#include "real.h"
#include "session.h"
#include "settings.h"
#include "signals.h"

static pid_t owner; /* a vfork child shares our memory but not our pid */

static __thread bool main_forks __attribute__((tls_model("initial-exec")));

static void before_fork(void)
{
	main_forks = syscall(SYS_gettid) == getpid();
	tmk_latches_before_fork();
	tmk_prepare_before_fork();
}

static void after_fork(void)
{
	tmk_prepare_after_fork();
	tmk_latches_after_fork();
}

static void in_child(void)
{
	uint32_t missing = tmk_latches_in_child();
	tmk_cstack_forked(); /* its numbers are the parent's */
	tmk_real_forked();
	tmk_driver_forked();
	tmk_prepare_forked();
	tmk_look_forked();
	tmk_doing_forked(main_forks);
	tmk_phase_forked(missing);
	owner = getpid();
	tmk_mapped_forked();
	tmk_session_forked(missing);
}

static void at_exit(int status, void *arg)
{
	(void)arg;
	if (getpid() == owner)
		tmk_session_finish(status, true);
}

__attribute__((constructor)) static void loaded(void)
{
	tmk_on_torch_call = tmk_prepare;
	tmk_enrich_may_read_gradients = tmk_main_alone_trains;
	tmk_enrich_quiet = tmk_pointer_quiet;
	tmk_settings_read();
	tmk_signals_begin();
	tmk_resolve(TMK_LIB_LIBC); /* a vforked child may need it */
	if (tmk_settings.off) {
		atomic_store(&tmk_state, TMK_DISABLED);
		return;
	}
	owner = getpid();
	tmk_clock_init();
	tmk_nvtx_offer();
	tmk_session_about = tmk_about_run;
	tmk_on_thread_exit = tmk_cstack_thread_exit;
	/* The first to be registered is the last to be called before a fork: nobody waits for
	 * anybody else while it has our latches. */
	pthread_atfork(before_fork, after_fork, in_child);
	/* Registered first, so run last: what torch frees at exit is still seen. */
	on_exit(at_exit, NULL);
}

/* Workers forked by a data loader leave like this and run no exit handler. */
void _exit(int status)
{
	if (owner && getpid() == owner)
		tmk_session_finish(status, true);
	tmk_real._exit(status);
	syscall(SYS_exit_group, status); /* a libc without it */
	__builtin_unreachable();
}

void _Exit(int status)
{
	_exit(status);
}
