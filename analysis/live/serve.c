/* serve.c - serve.py, which is part of the command, in a Python that has prometheus_client.
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
        "serve_py: .incbin \"" TIDEMARK_SERVE_FILE "\"\n"
        ".byte 0\n"
        ".previous\n");
extern const char serve_py[];

/* In the child: documents come by stdin, what it says first goes by stdout. It lives as long as
 * its stdin: no Ctrl-C that is meant for us ends it before us. */
static void become(const char *python, const char *address, int64_t port, int in,
                   int out)
{
	char number[24];
	sigset_t none;

	snprintf(number, sizeof(number), "%lld", (long long)port);
	signal(SIGINT, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	dup2(in, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	setenv("TIDEMARK_OFF", "1", 1);
	execlp(python, python, "-c", serve_py, number, address, (char *)NULL);
	dprintf(STDOUT_FILENO, "cannot start '%s': %s\n", python, strerror(errno));
	_exit(127);
}

FILE *serve_start(const char *python, const char *address, int64_t port)
{
	int documents[2], words[2];
	char said[512] = "";
	pid_t child;

	if (pipe2(documents, O_CLOEXEC) || pipe2(words, O_CLOEXEC) ||
	    (child = fork()) < 0)
		fail(STATUS_NO, "cannot start a process: %s", strerror(errno));
	if (!child)
		become(python, address, port, documents[0], words[1]);
	close(documents[0]);
	close(words[1]);
	FILE *answer = fdopen(words[0], "r");
	if (!answer)
		out_of_memory();
	if (!fgets(said, sizeof(said), answer))
		snprintf(said, sizeof(said), "'%s' ended before it served anything",
		         python);
	fclose(answer);
	said[strcspn(said, "\n")] = 0;
	if (strncmp(said, "serving ", 8) != 0) {
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

bool serve_put(FILE *server, const char *document)
{
	fputs(document, server);
	if (!fflush(server))
		return true;
	warn("the server of metrics has ended; the run is watched on");
	return false;
}
