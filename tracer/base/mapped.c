/* mapped.c - see mapped.h.
 * Called from: ring.c, files.c (SQLite's index of its log), the kernel.
 * Owns: the list of mappings, which a signal's handler reads at any moment: no lock. */
#include "mapped.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

enum { MOST = 1024 };
static struct {
	_Atomic uintptr_t from; /* 0 free, 1 being filled */
	size_t size;
	atomic_bool *gone;
} noted[MOST];

static struct sigaction before; /* whose SIGBUS it was */
static __thread bool ours __attribute__((tls_model("initial-exec")));

static bool replaced(uintptr_t at)
{
	for (int i = 0; i < MOST; i++) {
		uintptr_t from =
		        atomic_load_explicit(&noted[i].from, memory_order_acquire);
		if (from <= 1 || at < from || at - from >= noted[i].size)
			continue;
		atomic_store(noted[i].gone, true);
		return mmap((void *)from, noted[i].size, PROT_READ | PROT_WRITE,
		            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
		            0) != MAP_FAILED;
	}
	return false;
}

/* To whoever had it. Without a handler: the signal's own end, at the same instruction, with
 * which a core file then begins; one that was sent is sent once more. */
static void pass_on(int signal, siginfo_t *info, void *context)
{
	bool sent = info->si_code <= 0;
	if (sent && ours) { /* a thread of the program takes it, or waits for it */
		sigaddset(&((ucontext_t *)context)->uc_sigmask, signal);
		kill(getpid(), signal);
	} else if (before.sa_flags & SA_SIGINFO) {
		before.sa_sigaction(signal, info, context);
	} else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
		before.sa_handler(signal);
	} else if (!sent || before.sa_handler == SIG_DFL) {
		sigaction(signal, &before, NULL);
		if (sent)
			syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), signal);
	}
}

static void on_bus(int signal, siginfo_t *info, void *context)
{
	if (info->si_code <= 0 || !replaced((uintptr_t)info->si_addr))
		pass_on(signal, info, context);
}

/* On the stack that a program may have given its handlers: a thread of Go has no room. */
static void install(void)
{
	static atomic_flag once = ATOMIC_FLAG_INIT;
	struct sigaction mine = {.sa_sigaction = on_bus,
	                         .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
	if (atomic_flag_test_and_set(&once))
		return;
	sigemptyset(&mine.sa_mask);
	/* Known before the handler can be called. */
	if (!sigaction(SIGBUS, NULL, &before))
		sigaction(SIGBUS, &mine, NULL);
}

void tmk_mapped_note(void *from, size_t size, atomic_bool *gone)
{
	install();
	for (int i = 0; i < MOST; i++) {
		uintptr_t nobody = 0;
		if (!atomic_compare_exchange_strong(&noted[i].from, &nobody, 1))
			continue;
		noted[i].size = size;
		noted[i].gone = gone;
		atomic_store_explicit(&noted[i].from, (uintptr_t)from,
		                      memory_order_release);
		return;
	}
}

void tmk_mapped_heed(void)
{
	sigset_t bus;
	ours = true;
	sigemptyset(&bus);
	sigaddset(&bus, SIGBUS);
	pthread_sigmask(SIG_UNBLOCK, &bus, NULL);
}

void tmk_mapped_forget(void *from)
{
	for (int i = 0; i < MOST; i++) {
		uintptr_t it = (uintptr_t)from;
		if (it > 1 && atomic_compare_exchange_strong(&noted[i].from, &it, 0))
			return;
	}
}
