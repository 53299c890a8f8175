/* leaks.c - what grows in a run that is watched, as `leaks` finds it in the trace.
 *
 * That goes through the blocks that outlive their step, which may take seconds: so a child does
 * it, of low priority, and its answer is taken when it is there. It is asked for again after a
 * hundred times as long as it took.
 * Called from: commands/live.c. */
#include "leaks.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fail.h"
#include "outlook.h"
#include "site.h"

struct reply {
	size_t count;
	struct {
		char device[40];
		struct leak leak;
	} of[LOOK_DEVICES];
};

static void ask_device(struct trace *trace, const struct device *device, int64_t upto,
                       struct leak *leak)
{
	struct places places;
	struct growth growth;

	places_load(trace, device->name, &places);
	growth_load(trace, &places, device, upto, &growth);
	leak->known = !growth.too_short;
	leak->from = growth.from;
	leak->to = growth.to;
	leak->rate = leak->known ? growth_rate(&growth) : 0;
	leak->full = -1;
	if (leak->rate > 0)
		leak->full = outlook_of(trace, device, &growth).full;
	growth_free(&growth);
	places_free(&places);
}

/* In the child, which must not touch the terminal however it ends. */
static void answer(const char *path, int64_t upto, int to)
{
	static struct reply reply;
	char why[1024];
	int nowhere = open("/dev/null", O_RDWR);

	for (int fd = 0; fd < 3; fd++)
		dup2(nowhere, fd);
	fail_first = NULL;
	setpriority(PRIO_PROCESS, 0, 10);
	struct trace *trace = trace_peek(path, why, sizeof(why));
	for (size_t i = 0; trace && i < trace->device_count && i < LOOK_DEVICES; i++) {
		snprintf(reply.of[i].device, sizeof(reply.of[i].device), "%s",
		         trace->devices[i].name);
		ask_device(trace, &trace->devices[i], upto, &reply.of[i].leak);
		reply.count = i + 1;
	}
	_exit(write(to, &reply, sizeof(reply)) != sizeof(reply));
}

static void begin(struct look *look)
{
	int ends[2];
	pid_t child;

	if (pipe2(ends, O_CLOEXEC))
		return;
	child = fork();
	if (!child) {
		signal(SIGTERM, SIG_DFL);
		answer(look->path, look->complete, ends[1]);
	}
	close(ends[1]);
	if (child < 0) {
		close(ends[0]);
		return;
	}
	look->leaks.child = child;
	look->leaks.from = ends[0];
	look->leaks.since_ns = look_clock();
	look->leaks.asked = look->complete;
}

static void end(struct leaks *leaks)
{
	close(leaks->from);
	waitpid((pid_t)leaks->child, NULL, 0);
	leaks->child = 0;
	leaks->from = -1;
}

static void take(struct look *look)
{
	enum { PAUSE_S = 5, SHARE = 100 };
	static struct reply reply;
	struct leaks *leaks = &look->leaks;
	int64_t pause = SHARE * (look_clock() - leaks->since_ns),
	        least = PAUSE_S * 1000000000LL;

	if (read(leaks->from, &reply, sizeof(reply)) != sizeof(reply))
		reply.count = 0; /* it has failed: what was known stays */
	for (size_t i = 0; i < reply.count; i++) {
		struct watched *device = look_device(look, reply.of[i].device);
		if (device)
			device->leak = reply.of[i].leak;
	}
	end(leaks);
	leaks->due_ns = look_clock() + (pause > least ? pause : least);
}

void leaks_ask(struct look *look, bool wait)
{
	enum { AT_LEAST = 4 }; /* complete steps, for anything to be told from them */
	struct leaks *leaks = &look->leaks;

	if (!leaks->child && look->complete >= AT_LEAST &&
	    look->complete != leaks->asked && look_clock() >= leaks->due_ns)
		begin(look);
	if (!leaks->child)
		return;
	struct pollfd answer = {.fd = leaks->from, .events = POLLIN};
	if (poll(&answer, 1, wait ? -1 : 0) > 0)
		take(look);
}

void leaks_forget(struct look *look)
{
	if (!look->leaks.child)
		return;
	kill((pid_t)look->leaks.child, SIGKILL);
	end(&look->leaks);
}
