/* wrap_signal.c - what a program says about SIGBUS after the recording began.
 *
 * A handler of ours meets the SIGBUS of pages that somebody takes from our files (mapped.h). A
 * program that installs its own later (faulthandler, PyTorch in a DataLoader's worker) would take
 * it away: it gets SIGBUS as it wishes, and is told what it would have been told, and ours stays in
 * front. All other signals, and this one before that, go on.
 *
 * Both may be called in a handler, and by another tool while we look through the loader's list
 * (AddressSanitizer does): so what comes next is not looked for by a stub, at a call, but once, as
 * the library is loaded; before that it is the C library's own.
 * Called from: the program, any thread: no lock, nothing allocated. process.c begins. */
#include <dlfcn.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>

#include "mapped.h"
#include "real.h"
#include "signals.h"

typedef tmk_signal_handler signal_fn(int, tmk_signal_handler);

tmk_sigaction_fn __sigaction; /* the C library's, which nobody interposes */

static tmk_sigaction_fn *_Atomic next_sigaction;
static signal_fn *_Atomic next_signal;

static int behind_ours(int signal, const struct sigaction *wanted,
                       struct sigaction *before)
{
	tmk_sigaction_fn *next = atomic_load(&next_sigaction);
	return (next ? next : __sigaction)(signal, wanted, before);
}

void tmk_signals_begin(void)
{
	tmk_sigaction_fn *action;
	signal_fn *simple;
	*(void **)&action = dlsym(RTLD_NEXT, "sigaction");
	*(void **)&simple = dlsym(RTLD_NEXT, "signal");
	atomic_store(&next_sigaction, action);
	atomic_store(&next_signal, simple);
	tmk_mapped_real(behind_ours);
}

int sigaction(int signal, const struct sigaction *wanted, struct sigaction *before)
{
	if (signal != SIGBUS || !tmk_mapped_guards())
		return behind_ours(signal, wanted, before);
	tmk_mapped_asks(wanted, before);
	return 0;
}

/* As glibc's: system calls go on after it, and the signal waits for itself. */
tmk_signal_handler signal(int signal, tmk_signal_handler handler)
{
	struct sigaction wanted = {.sa_handler = handler, .sa_flags = SA_RESTART},
	                 before;
	signal_fn *next = atomic_load(&next_signal);
	bool ours = signal == SIGBUS && handler != SIG_ERR && tmk_mapped_guards();
	if (next && !ours)
		return next(signal, handler);
	sigemptyset(&wanted.sa_mask);
	sigaddset(&wanted.sa_mask, signal);
	return sigaction(signal, &wanted, &before) ? SIG_ERR : before.sa_handler;
}
