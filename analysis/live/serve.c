/* serve.c - serve.py and send.py, which are part of the command, each behind figures.py, in a
 * Python that has what they import.
 * Called from: commands/live.c. */
#include "serve.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fail.h"
#include "heap.h"

__asm__(".section .rodata\n"
        "serve_py: .incbin \"" TIDEMARK_FIGURES_FILE "\"\n"
        ".incbin \"" TIDEMARK_SERVE_FILE "\"\n"
        ".byte 0\n"
        "send_py: .incbin \"" TIDEMARK_FIGURES_FILE "\"\n"
        ".incbin \"" TIDEMARK_SEND_FILE "\"\n"
        ".byte 0\n"
        ".previous\n");
extern const char serve_py[], send_py[];

/* In the child: documents come by stdin, what it says first goes by stdout. It lives as long as
 * its stdin: no Ctrl-C that is meant for us ends it before us. */
static void become(const char *python, const char *script, const char *first,
                   const char *second, int in, int out)
{
	sigset_t none;

	signal(SIGINT, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	dup2(in, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	setenv("TIDEMARK_OFF", "1", 1);
	execlp(python, python, "-c", script, first, second, (char *)NULL);
	dprintf(STDOUT_FILENO, "cannot start '%s': %s\n", python, strerror(errno));
	_exit(127);
}

/* Words of the script; second: NULL if it has one. */
static FILE *start(const char *python, const char *script, const char *first,
                   const char *second)
{
	int documents[2], words[2];
	char said[512] = "";
	pid_t child;

	if (pipe2(documents, O_CLOEXEC) || pipe2(words, O_CLOEXEC) ||
	    (child = fork()) < 0)
		fail(STATUS_NO, "cannot start a process: %s", strerror(errno));
	if (!child)
		become(python, script, first, second, documents[0], words[1]);
	close(documents[0]);
	close(words[1]);
	FILE *answer = fdopen(words[0], "r");
	if (!answer)
		out_of_memory();
	if (!fgets(said, sizeof(said), answer))
		snprintf(said, sizeof(said), "'%s' ended before it said anything",
		         python);
	fclose(answer);
	said[strcspn(said, "\n")] = 0;
	if (strncmp(said, "serving ", 8) != 0 && strncmp(said, "sending ", 8) != 0) {
		close(documents[1]);
		waitpid(child, NULL, 0);
		fail(STATUS_USAGE, "%s", said);
	}
	note("%s", said);
	signal(SIGPIPE, SIG_IGN);
	FILE *server = fdopen(documents[1], "w");
	if (!server)
		out_of_memory();
	return server;
}

FILE *serve_start(const char *python, const char *address, int64_t port)
{
	char number[24];

	snprintf(number, sizeof(number), "%lld", (long long)port);
	return start(python, serve_py, number, address);
}

FILE *send_start(const char *python, const char *address)
{
	return start(python, send_py, address, NULL);
}

bool serve_put(FILE *server, const char *document)
{
	fputs(document, server);
	if (!fflush(server))
		return true;
	warn("the process that gives metrics away has ended; the run is watched on");
	return false;
}
