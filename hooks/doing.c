/* doing.c - see doing.h. Called from: the wrappers, phase.c, enrich.c, on any thread. */
#include "doing.h"

#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

__thread struct tmk_doing tmk_doing __attribute__((tls_model("initial-exec")));

static atomic_bool trained_elsewhere;

/* Called in the forward, where a Python program holds the GIL: whoever holds it later sees
 * the flag before that thread's backward can begin. */
void tmk_note_trainer(void)
{
	tmk_doing.noted = true;
	if (syscall(SYS_gettid) != getpid())
		atomic_store(&trained_elsewhere, true);
}

bool tmk_main_alone_trains(void)
{
	return !atomic_load(&trained_elsewhere) && !tmk_doing.in_execute;
}

void tmk_doing_forked(bool main_forked)
{
	if (!main_forked) /* a gradient may be half of what the main thread made it */
		atomic_store(&trained_elsewhere, true);
}
