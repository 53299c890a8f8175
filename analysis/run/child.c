/* child.c - this command once more, in a child that is ended where it takes too long, and where
 * we are interrupted.
 * Called from: measure/attempt.c, page/ask.c, verify.c. */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fail.h"

enum { GRACE = 10 }; /* seconds from the request to end to the end */

static const int ending[] = {SIGINT, SIGTERM, SIGHUP};
enum { ENDING = sizeof(ending) / sizeof(*ending) };

static volatile sig_atomic_t interrupted;

static void interrupt(int number)
{
	interrupted = number;
}

extern char **environ;

static void become(const struct child *child, pid_t parent)
{
	int null = open("/dev/null", O_RDONLY);
	int out = open(child->log ? child->log : "/dev/null",
	               O_WRONLY | O_CREAT | O_TRUNC, 0600);
	int errors = child->errors
	                     ? open(child->errors, O_WRONLY | O_CREAT | O_TRUNC, 0600)
	                     : out;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(STATUS_USAGE);
	dup2(null, STDIN_FILENO); /* a program that wants input ends */
	dup2(out, STDOUT_FILENO);
	dup2(errors, STDERR_FILENO);
	execve("/proc/self/exe", (char *const *)child->words,
	       child->environment ? child->environment : environ);
	_exit(STATUS_USAGE);
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void show(const struct child *child, double since)
{
	if (quiet || since < 2 || !isatty(STDERR_FILENO))
		return;
	fprintf(stderr, "\r\033[K  %s  %.0f s", child->doing, since);
	fflush(stderr);
}

static bool wait_for(const struct child *child, pid_t pid, int *status)
{
	struct timespec nap = {.tv_nsec = 2000000};
	double begin = seconds(), since, told = 0;

	while (waitpid(pid, status, WNOHANG) == 0) {
		since = seconds() - begin;
		show(child, since);
		if (!told && (interrupted || since > (double)child->limit)) {
			/* simulate passes it on to the program, and reads its trace */
			kill(pid, SIGTERM);
			told = since;
		}
		if (told && since > told + GRACE)
			kill(-pid, SIGKILL);
		nanosleep(&nap, NULL);
		if (nap.tv_nsec < 100000000)
			nap.tv_nsec += nap.tv_nsec / 4;
	}
	kill(-pid, SIGKILL); /* what the program may have left behind */
	if (isatty(STDERR_FILENO) && !quiet)
		fputs("\r\033[K", stderr);
	return !told;
}

bool child_run(const struct child *child, int *status)
{
	struct sigaction action = {.sa_handler = interrupt}, before[ENDING];
	const pid_t parent = getpid();
	bool ended;
	pid_t pid;

	interrupted = 0;
	for (int i = 0; i < ENDING; i++)
		sigaction(ending[i], &action, &before[i]);
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		fail(STATUS_USAGE, "cannot start a run: %s", strerror(errno));
	if (!pid) {
		for (int i = 0; i < ENDING; i++)
			sigaction(ending[i], &before[i], NULL);
		become(child, parent);
	}
	ended = wait_for(child, pid, status);
	for (int i = 0; i < ENDING; i++)
		sigaction(ending[i], &before[i], NULL);
	if (interrupted)
		exit(128 + (int)interrupted);
	return ended;
}

char *child_text(const char *path)
{
	FILE *file = path ? fopen(path, "re") : NULL;
	char *text = NULL;
	size_t size = 0;

	if (!file)
		return NULL;
	if (getdelim(&text, &size, 0, file) < 0) {
		free(text);
		text = NULL;
	}
	fclose(file);
	return text;
}
