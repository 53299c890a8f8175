/* library.c - where libtidemark.so is, and what of it the command calls.
 * The library is only ever loaded in a forked child: it is made to live in somebody
 * else's process, and a fault in it must cost an answer no more than its last events.
 * Called from: commands/, live/, run/, trace/. */
#include "library.h"

#include <dlfcn.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "heap.h"

static char *readable(const char *path)
{
	char real[PATH_MAX];
	return realpath(path, real) && !access(real, R_OK) ? copy_text(real) : NULL;
}

char *library_find(char *why, size_t size)
{
	static const char *const places[] = {
	        "../lib/x86_64-linux-gnu", "../lib", "../lib64", "../hooks", ".",
	};
	const char *wish = getenv("TIDEMARK_LIBRARY");
	char self[PATH_MAX], *slash, *found = NULL;
	ssize_t length;

	if (wish && *wish) {
		found = readable(wish);
		if (!found)
			snprintf(why, size,
			         "TIDEMARK_LIBRARY names '%s', which is not there",
			         wish);
		return found;
	}
	length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (length > 0) {
		self[length] = 0;
		slash = strrchr(self, '/');
		*slash = 0;
		for (size_t i = 0; i < sizeof(places) / sizeof(*places) && !found;
		     i++) {
			char *path =
			        format_text("%s/%s/libtidemark.so", self, places[i]);
			found = readable(path);
			free(path);
		}
	}
	if (!found)
		found = readable(TIDEMARK_LIBDIR "/libtidemark.so");
#ifndef __x86_64__
	if (!found)
		snprintf(why, size,
		         "on this processor tidemark reads traces; it records them on "
		         "x86-64");
#else
	if (!found)
		snprintf(
		        why, size,
		        "cannot find libtidemark.so beside the command or in '%s'; set "
		        "TIDEMARK_LIBRARY to its path",
		        TIDEMARK_LIBDIR);
#endif
	return found;
}

struct answer {
	int rc;
	char text[512];
};

typedef int recover_function(const char *trace, const char *into, char *message,
                             size_t message_size);

/* In the child. trace NULL: loading is all that is asked. */
static void ask(const char *library, const char *trace, const char *into,
                struct answer *answer)
{
	recover_function *recover;
	void *handle;

	/* Loaded for its functions, not to trace the command. */
	setenv("TIDEMARK_OFF", "1", 1);
	handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
	if (!handle) {
		snprintf(answer->text, sizeof(answer->text), "cannot load %s",
		         dlerror());
		return;
	}
	answer->rc = 0;
	if (!trace)
		return;
	*(void **)&recover = dlsym(handle, "tidemark_recover");
	if (recover)
		answer->rc = recover(trace, into, answer->text, sizeof(answer->text));
	else
		answer->rc = -1;
	if (!recover)
		snprintf(answer->text, sizeof(answer->text),
		         "'%s' is of another version: it has no tidemark_recover",
		         library);
}

static struct answer ask_in_child(const char *library, const char *trace,
                                  const char *into)
{
	struct answer answer = {-1, ""};
	int ends[2], status;
	pid_t child;

	if (pipe(ends) || (child = fork()) < 0) {
		snprintf(answer.text, sizeof(answer.text), "cannot start a process");
		return answer;
	}
	if (!child) {
		ask(library, trace, into, &answer);
		_exit(write(ends[1], &answer, sizeof(answer)) != sizeof(answer));
	}
	close(ends[1]);
	ssize_t got = read(ends[0], &answer, sizeof(answer));
	close(ends[0]);
	waitpid(child, &status, 0);
	if (got != sizeof(answer)) {
		answer.rc = -1;
		snprintf(answer.text, sizeof(answer.text), "'%s' failed%s%s", library,
		         WIFSIGNALED(status) ? ": " : "",
		         WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "");
	}
	answer.text[sizeof(answer.text) - 1] = 0;
	return answer;
}

int library_load(const char *library, char *why, size_t size)
{
	struct answer answer = ask_in_child(library, NULL, NULL);
	snprintf(why, size, "%s", answer.text);
	return answer.rc;
}

enum recovery library_recover(const char *library, const char *trace, const char *into,
                              char *why, size_t size)
{
	struct answer answer = ask_in_child(library, trace, into);
	snprintf(why, size, "%s", answer.text);
	return answer.rc < 0 || answer.rc > PERHAPS_RUNNING ? NOT_RECOVERED
	                                                    : (enum recovery)answer.rc;
}
