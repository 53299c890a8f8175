/* now.c - where a living run is just now, asked of its ring by the library.
 * In a forked child, as in library.c: a fault in the library costs one look.
 * Called from: live/find.c, live/look.c. */
#include "now.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef int glance_function(const char *trace, const char *seen, char *text,
                            size_t size);

struct reply {
	int rc;
	char text[GLANCE_TEXT];
};

static void ask(const char *library, const char *trace, const char *seen,
                struct reply *reply)
{
	glance_function *glance;
	void *handle;

	/* Loaded for its functions, not to trace the command. */
	setenv("TIDEMARK_OFF", "1", 1);
	handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
	if (!handle) {
		snprintf(reply->text, sizeof(reply->text), "cannot load %s", dlerror());
		return;
	}
	*(void **)&glance = dlsym(handle, "tidemark_glance");
	if (glance)
		reply->rc = glance(trace, seen, reply->text, sizeof(reply->text));
	else
		snprintf(reply->text, sizeof(reply->text),
		         "'%s' is of another version: it has no tidemark_glance",
		         library);
}

static bool read_reply(int from, struct reply *reply)
{
	char *to = (char *)reply;
	size_t left = sizeof(*reply);

	while (left) {
		ssize_t got = read(from, to, left);
		if (got <= 0)
			return false;
		to += got;
		left -= (size_t)got;
	}
	return true;
}

enum glance glance_at(const char *library, const char *trace, char text[GLANCE_TEXT])
{
	static struct reply reply;
	int ends[2], status;
	pid_t child;

	reply.rc = GLANCE_FAILED;
	*reply.text = 0;
	if (pipe(ends) || (child = fork()) < 0) {
		snprintf(text, GLANCE_TEXT, "cannot start a process");
		return GLANCE_FAILED;
	}
	if (!child) {
		ask(library, trace, text, &reply);
		_exit(write(ends[1], &reply, sizeof(reply)) != sizeof(reply));
	}
	close(ends[1]);
	bool whole = read_reply(ends[0], &reply);
	close(ends[0]);
	waitpid(child, &status, 0);
	if (!whole)
		snprintf(reply.text, sizeof(reply.text), "'%s' failed", library);
	reply.text[sizeof(reply.text) - 1] = 0;
	memcpy(text, reply.text, GLANCE_TEXT);
	return !whole || reply.rc < 0 || reply.rc > GLANCE_KILLED
	               ? GLANCE_FAILED
	               : (enum glance)reply.rc;
}
