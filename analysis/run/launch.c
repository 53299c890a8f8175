/* launch.c - what `tidemark run` sets up before the program, and its waiting.
 * Called from: commands/, export/, import/, run/. */
#include "launch.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fail.h"
#include "heap.h"

static bool is_program(const char *path, int *status)
{
	struct stat st;

	if (stat(path, &st))
		return false;
	*status = CANNOT_RUN; /* it is there: what follows tells whether it can run */
	return S_ISREG(st.st_mode) && !access(path, X_OK);
}

char *launch_lookup(const char *command, int *status)
{
	const char *at = getenv("PATH");

	*status = NOT_FOUND;
	if (strchr(command, '/'))
		return is_program(command, status) ? copy_text(command) : NULL;
	at = at ? at : "/usr/local/bin:/usr/bin:/bin";
	for (;; at++) {
		size_t length = strcspn(at, ":");
		char *path = length ? format_text("%.*s/%s", (int)length, at, command)
		                    : format_text("./%s", command);
		if (is_program(path, status))
			return path;
		free(path);
		at += length;
		if (!*at)
			return NULL;
	}
}

static bool is_sanitizer(const char *entry, size_t length)
{
	const char *slash = memrchr(entry, '/', length);
	size_t left = slash ? length - (size_t)(slash + 1 - entry) : length;
	const char *name = slash ? slash + 1 : entry;
	return left > 7 &&
	       (!memcmp(name, "libasan", 7) || !memcmp(name, "libclan", 7)) &&
	       memmem(name, left, "asan", 4);
}

char *launch_preload(const char *library, const char *already)
{
	char *text = copy_text("");

	already = already ? already : "";
	for (int round = 0; round < 3; round++) {
		/* The sanitizer's runtime, then ours, then the rest. */
		if (round == 1) {
			char *longer =
			        format_text("%s%s%s", text, *text ? ":" : "", library);
			free(text);
			text = longer;
			continue;
		}
		for (const char *at = already; *at;) {
			size_t length = strcspn(at, ": ");
			bool ours = length == strlen(library) &&
			            !memcmp(at, library, length);
			if (length && !ours && is_sanitizer(at, length) == !round) {
				char *longer =
				        format_text("%s%s%.*s", text, *text ? ":" : "",
				                    (int)length, at);
				free(text);
				text = longer;
			}
			at += length + (at[length] != 0);
		}
	}
	return text;
}

static volatile pid_t program;

void (*launch_before)(void);

/* The terminal sends its signals to the whole group, the program among it; what another
 * process sends to us alone is meant for the program. */
static void pass_on(int number, siginfo_t *info, void *context)
{
	int saved = errno;
	(void)context;
	if (info->si_code <= 0 && program > 0)
		kill(program, number);
	errno = saved;
}

static const int passed[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2};
enum { PASSED = sizeof(passed) / sizeof(*passed) };

static int shell_status(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int launch_wait(const char *path, char **argv, int orphaned)
{
	struct sigaction action = {.sa_sigaction = pass_on,
	                           .sa_flags = SA_SIGINFO | SA_RESTART};
	struct sigaction before[PASSED];
	const pid_t parent = getpid();
	sigset_t held, mask;
	int status;

	/* Held until the handlers know whom to pass a signal on to. */
	sigemptyset(&held);
	for (int i = 0; i < PASSED; i++)
		sigaddset(&held, passed[i]);
	sigprocmask(SIG_BLOCK, &held, &mask);
	program = fork();
	if (program < 0) {
		warn("cannot start '%s': %s", argv[0], strerror(errno));
		sigprocmask(SIG_SETMASK, &mask, NULL);
		return CANNOT_RUN;
	}
	if (!program) {
		sigprocmask(SIG_SETMASK, &mask, NULL);
		prctl(PR_SET_PDEATHSIG, orphaned);
		if (orphaned && getppid() != parent)
			_exit(128 + orphaned);
		if (launch_before)
			launch_before();
		execv(path, argv);
		warn("cannot run '%s': %s", argv[0], strerror(errno));
		_exit(errno == ENOENT ? NOT_FOUND : CANNOT_RUN);
	}
	for (int i = 0; i < PASSED; i++)
		sigaction(passed[i], &action, &before[i]);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	while (waitpid(program, &status, 0) < 0 && errno == EINTR)
		;
	/* From here on a signal ends us as usual: the pid may belong to somebody else.
	 */
	program = 0;
	for (int i = 0; i < PASSED; i++)
		sigaction(passed[i], &before[i], NULL);
	return shell_status(status);
}
