/* scopes.c - a program without Python and without torch that names its phases and buckets.
 * Built with stand-ins of torch's libraries, whose reports it makes itself. Prints the
 * library's version, or "absent"; argument: "many" opens more names than are kept, "deep"
 * more scopes than are kept, "fork" allocates in a child, "time" times a push and a pop. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tidemark.h"

struct device {
	int8_t type, index;
};
void _ZN3c1027reportMemoryUsageToProfilerEPvlmmNS_6DeviceE(void *, int64_t, size_t,
                                                           size_t, struct device);

/* Kept until the end; the size tells which it is. */
static void take(int64_t bytes)
{
	static uintptr_t at = 0x10000000;
	static size_t total;
	at += 1 << 20;
	total += (size_t)bytes;
	_ZN3c1027reportMemoryUsageToProfilerEPvlmmNS_6DeviceE(
	        (void *)at, bytes, total, total, (struct device){1, 0});
}

static void *in_a_thread(void *arg)
{
	(void)arg;
	take(40001); /* no scope of this thread's */
	TIDEMARK_POP_PHASE();
	TIDEMARK_PUSH_PHASE("worker");
	take(40002);
	TIDEMARK_POP_PHASE();
	return NULL;
}

static void nested(void)
{
	TIDEMARK_PUSH_PHASE("rollout");
	take(10001);
	TIDEMARK_PUSH_BUCKET("kv cache");
	take(10002);
	TIDEMARK_PUSH_PHASE("prefill");
	take(10003);
	TIDEMARK_POP_PHASE();
	take(10004);
	TIDEMARK_POP_BUCKET();
	TIDEMARK_POP_PHASE();
	take(10005);
	TIDEMARK_POP_PHASE(); /* nothing is open */
	take(10006);
	TIDEMARK_PUSH_PHASE("eval");
	take(20001);
	TIDEMARK_POP_PHASE();
	TIDEMARK_PUSH_BUCKET("communication");
	take(20002);
	TIDEMARK_PUSH_BUCKET("mine");
	take(20003);
	TIDEMARK_POP_BUCKET();
	TIDEMARK_POP_BUCKET();
	TIDEMARK_PUSH_PHASE("");
	TIDEMARK_PUSH_PHASE(
	        "a name that is longer than is kept, by far, since nobody says "
	        "f\xc3\xbcr ever");
	take(20004);
	TIDEMARK_POP_PHASE();
	TIDEMARK_POP_PHASE();
	take(20005);
}

static void many(void)
{
	char name[32];
	for (int i = 0; i < 6000; i++) {
		snprintf(name, sizeof(name), "step %d", i);
		TIDEMARK_PUSH_PHASE(name);
		take(512);
		TIDEMARK_POP_PHASE();
	}
}

static void deep(void)
{
	char name[32];
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "level %d", i);
		TIDEMARK_PUSH_PHASE(name);
	}
	take(30001);
	for (int i = 0; i < 100; i++)
		TIDEMARK_POP_PHASE();
	take(30002);
	TIDEMARK_PUSH_PHASE("again");
	take(30003);
	TIDEMARK_POP_PHASE();
}

static void forked(void)
{
	TIDEMARK_PUSH_PHASE("both");
	take(50001);
	pid_t child = fork();
	take(child ? 50002 : 50003);
	TIDEMARK_POP_PHASE();
	if (!child)
		exit(0);
	waitpid(child, NULL, 0);
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static void timed(void)
{
	enum { TIMES = 1000000 };
	double start = now();
	for (int i = 0; i < TIMES; i++) {
		TIDEMARK_PUSH_PHASE("rollout");
		TIDEMARK_POP_PHASE();
	}
	printf("%.1f ns for a push and a pop\n", (now() - start) / TIMES);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	if (!strcmp(what, "many"))
		many();
	else if (!strcmp(what, "deep"))
		deep();
	else if (!strcmp(what, "fork"))
		forked();
	else if (!strcmp(what, "time"))
		timed();
	else
		nested();
	pthread_t thread;
	TIDEMARK_PUSH_PHASE("of the main thread");
	pthread_create(&thread, NULL, in_a_thread, NULL);
	pthread_join(thread, NULL);
	TIDEMARK_POP_PHASE();
	TIDEMARK_STEP();
	printf("%s\n", tidemark_version ? tidemark_version() : "absent");
	if (!strcmp(what, "kill")) {
		fflush(stdout);
		abort();
	}
	return 0;
}
