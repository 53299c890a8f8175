/* mapped.c - see mapped.h.
 * Called from: ring.c, files.c (SQLite's index of its log), wrap_signal.c, the kernel.
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

/* Whose SIGBUS it is: what was there, then what the program has asked for since. Never changed where
 * it lies, for a handler may be reading it; so many changes later it is nobody's any more. */
enum { CHANGES = 32 };
static struct sigaction asked[CHANGES];
static atomic_uint changes;
static _Atomic(const struct sigaction *) theirs;
static _Atomic pid_t guarded; /* the process whose handler is ours; 0: none */
static tmk_sigaction_fn *_Atomic real = sigaction;

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

static const struct sigaction *set_theirs(const struct sigaction *to)
{
	struct sigaction *s = &asked[atomic_fetch_add(&changes, 1) % CHANGES];
	*s = *to;
	return atomic_exchange(&theirs, s);
}

static bool is_handler(const struct sigaction *s)
{
	return (s->sa_flags & SA_SIGINFO) ||
	       (s->sa_handler != SIG_DFL && s->sa_handler != SIG_IGN);
}

/* Without a handler: the signal's own end, at the same instruction, with which a core file then
 * begins; one that was sent is sent once more. */
static void end_by(int signal, bool sent)
{
	const struct sigaction plain = {.sa_handler = SIG_DFL};
	atomic_store(&guarded, 0);
	atomic_load (&real)(signal, &plain, NULL);
	if (sent)
		syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), signal);
}

/* To whoever has it. */
static void pass_on(int signal, siginfo_t *info, void *context)
{
	const struct sigaction plain = {.sa_handler = SIG_DFL};
	const struct sigaction to = *atomic_load(&theirs);
	bool sent = info->si_code <= 0;
	if (sent && ours) { /* a thread of the program takes it, or waits for it */
		sigaddset(&((ucontext_t *)context)->uc_sigmask, signal);
		kill(getpid(), signal);
		return;
	}
	if (!is_handler(&to)) {
		if (!sent || to.sa_handler == SIG_DFL)
			end_by(signal, sent);
		return;
	}
	if ((unsigned)to.sa_flags & SA_RESETHAND)
		set_theirs(&plain);
	if (to.sa_flags & SA_SIGINFO)
		to.sa_sigaction(signal, info, context);
	else
		to.sa_handler(signal);
}

static void on_bus(int signal, siginfo_t *info, void *context)
{
	if (info->si_code <= 0 || !replaced((uintptr_t)info->si_addr))
		pass_on(signal, info, context);
}

/* As the program's own would be called: its mask, on its stack. Where it has none, on the one that
 * was made for handlers: a thread of Go has no room elsewhere. */
static int stand_in_front(const struct sigaction *of)
{
	struct sigaction mine = {.sa_sigaction = on_bus,
	                         .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
	sigemptyset(&mine.sa_mask);
	if (is_handler(of)) {
		mine.sa_mask = of->sa_mask;
		mine.sa_flags = SA_SIGINFO |
		                (of->sa_flags & (SA_ONSTACK | SA_RESTART | SA_NODEFER));
	}
	return atomic_load(&real)(SIGBUS, &mine, NULL);
}

static void install(void)
{
	static atomic_flag once = ATOMIC_FLAG_INIT;
	struct sigaction before;
	if (atomic_flag_test_and_set(&once))
		return;
	/* Known before the handler can be called. */
	if (atomic_load(&real)(SIGBUS, NULL, &before))
		return;
	set_theirs(&before);
	if (!stand_in_front(&before))
		atomic_store(&guarded, getpid());
}

void tmk_mapped_real(tmk_sigaction_fn *sigaction_behind_ours)
{
	atomic_store(&real, sigaction_behind_ours);
}

/* A vforked child has its parent's memory and handlers of its own. */
bool tmk_mapped_guards(void)
{
	pid_t pid = atomic_load_explicit(&guarded, memory_order_relaxed);
	return pid && pid == getpid();
}

void tmk_mapped_asks(const struct sigaction *wanted, struct sigaction *before)
{
	/* Both may be one. */
	const struct sigaction *was = atomic_load(&theirs);
	struct sigaction now;
	if (wanted) {
		now = *wanted;
		was = set_theirs(&now);
		stand_in_front(&now);
	}
	if (before)
		*before = *was;
}

void tmk_mapped_forked(void)
{
	if (atomic_load(&guarded))
		atomic_store(&guarded, getpid());
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
