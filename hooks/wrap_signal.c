/* wrap_signal.c - what a program says about SIGBUS after the recording began.
 *
 * A handler of ours meets the SIGBUS of pages that somebody takes from our files (mapped.h). A
 * program that installs its own later (faulthandler, PyTorch in a DataLoader's worker) would take
 * it away: it gets SIGBUS as it wishes, and is told what it would have been told, and ours stays in
 * front. All other signals, and this one before that, go on.
 * Called from: the program, any thread, in handlers too: no lock, nothing allocated. */
#include <errno.h>
#include <signal.h>
#include <stddef.h>

#include "mapped.h"
#include "real.h"

int sigaction(int signal, const struct sigaction *wanted, struct sigaction *before)
{
	if (signal != SIGBUS || !tmk_mapped_guards())
		return tmk_real.sigaction(signal, wanted, before);
	tmk_mapped_asks(wanted, before);
	return 0;
}

/* As glibc's: system calls go on after it, and the signal waits for itself. */
tmk_signal_handler signal(int signal, tmk_signal_handler handler)
{
	struct sigaction wanted = {.sa_handler = handler, .sa_flags = SA_RESTART},
	                 before;
	if (signal != SIGBUS || handler == SIG_ERR || !tmk_mapped_guards())
		return tmk_real.signal(signal, handler);
	sigemptyset(&wanted.sa_mask);
	sigaddset(&wanted.sa_mask, SIGBUS);
	tmk_mapped_asks(&wanted, &before);
	return before.sa_handler;
}
