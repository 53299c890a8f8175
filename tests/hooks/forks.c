/* forks.c - a program whose threads are in every locked part of the library while another one
 * forks, and whose children use it as well. To be run with the library preloaded; what it
 * takes for torch is tests/bench/fake.
 *
 * usage: LD_PRELOAD=libtidemark.so TIDEMARK_STACKS=all TIDEMARK_OUT=FOLDER/%p.db forks FOLDER
 * Exit status 0 if every child ended by itself and has a trace: a finished one, but for a few
 * whose writer needed more than two seconds on a busy machine. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct device {
	int8_t type, index;
};
void _ZN3c1027reportMemoryUsageToProfilerEPvlmmNS_6DeviceE(void *, int64_t, size_t,
                                                           size_t, struct device);
bool _ZN3c1022memoryProfilingEnabledEv(void);
void tidemark_step(void);
void tidemark_push_phase(const char *name);
void tidemark_pop_phase(void);

enum { FORKS = 250, THREADS = 3, PATIENCE = 120 /* seconds */, STACK = 1 << 20 };

static atomic_bool over;

static void allocate(uintptr_t n)
{
	void *p = (void *)((n + 1) << 12);
	const struct device cuda = {1, 0};
	_ZN3c1022memoryProfilingEnabledEv();
	_ZN3c1027reportMemoryUsageToProfilerEPvlmmNS_6DeviceE(p, 512, 512, 1 << 21,
	                                                      cuda);
	_ZN3c1027reportMemoryUsageToProfilerEPvlmmNS_6DeviceE(p, -512, 0, 1 << 21,
	                                                      cuda);
}

/* Call trees that are not met twice, over many places: libunwind asks the loader about each
 * place that is new to a thread. */
typedef void place(uint32_t way, int depth, uintptr_t n);
static place *const places[256];

static void walk(uint32_t way, int depth, uintptr_t n)
{
	if (depth)
		places[way >> 24](way * 1664525u + 1013904223u, depth - 1, n);
	else
		allocate(n);
}

/* clang-format off */
#define PLACE(i)                                                                       \
	static __attribute__((noinline)) void place_##i(uint32_t way, int depth,       \
	                                                uintptr_t n)                   \
	{                                                                              \
		walk(way, depth, n);                                                   \
		__asm__ volatile(                                                      \
		        ""                                                             \
		        :                                                              \
		        : "i"(__LINE__ + __COUNTER__)); /* not one function */         \
	}
#define NAME(i)       place_##i,
#define FOUR(m, i)    m(i##0) m(i##1) m(i##2) m(i##3)
#define SIXTEEN(m, i) FOUR(m, i##0) FOUR(m, i##1) FOUR(m, i##2) FOUR(m, i##3)
#define ALL(m)                                                                         \
	SIXTEEN(m, 10)                                                                 \
	SIXTEEN(m, 11)                                                                 \
	SIXTEEN(m, 12)                                                                 \
	SIXTEEN(m, 13) SIXTEEN(m, 20) SIXTEEN(m, 21) SIXTEEN(m, 22) SIXTEEN(m, 23)     \
	        SIXTEEN(m, 30) SIXTEEN(m, 31) SIXTEEN(m, 32) SIXTEEN(m, 33)            \
	                SIXTEEN(m, 40) SIXTEEN(m, 41) SIXTEEN(m, 42) SIXTEEN(m, 43)
/* clang-format on */
ALL(PLACE)
static place *const places[256] = {ALL(NAME)};

/* A thread's first events map its ring, its walkers' memory and its scopes. */
static void *once(void *way)
{
	tidemark_push_phase("once");
	for (uint32_t i = 0; i < 40; i++)
		walk((uint32_t)(uintptr_t)way * 2654435761u + i * 40503u, 12, i);
	tidemark_pop_phase();
	return NULL;
}

/* Threads that come and go. */
static void *hammer(void *which)
{
	pthread_t t;
	for (uintptr_t i = 0; !atomic_load(&over); i++) {
		if (pthread_create(&t, NULL, once,
		                   (void *)(i * THREADS + (uintptr_t)which)))
			continue;
		pthread_join(t, NULL);
		tidemark_step();
	}
	return NULL;
}

/* Its thread has a stack of its own: one that the parent's threads left behind may hold blocks
 * that were freed already, by another thread's pthread_create in the middle of the fork. That is
 * glibc's (2.36: get_cached_stack frees them outside its lock), with any thread-local storage of
 * a library that was loaded late, and ends a bare program's child as well. */
static void child(void)
{
	pthread_t t;
	pthread_attr_t attr;
	void *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE,
	                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	once((void *)(uintptr_t)getpid());
	tidemark_step();
	if (stack == MAP_FAILED || pthread_attr_init(&attr) ||
	    pthread_attr_setstack(&attr, stack, STACK) ||
	    pthread_create(&t, &attr, once, (void *)1))
		exit(3);
	pthread_join(t, NULL);
	exit(0);
}

/* -1: it has no trace; 1: a ring lies beside it, for a reader to finish. */
static int unfinished(const char *folder, pid_t pid)
{
	char path[4096];
	struct stat st;
	snprintf(path, sizeof(path), "%s/%d.db", folder, (int)pid);
	bool there = !stat(path, &st);
	unlink(path);
	snprintf(path, sizeof(path), "%s/%d.db-ring", folder, (int)pid);
	return !there ? -1 : !stat(path, &st);
}

/* Not by alarm(): what a child hangs in may have all signals blocked. */
static int ended(pid_t pid)
{
	const struct timespec nap = {.tv_nsec = 2000000};
	time_t until = time(NULL) + PATIENCE;
	int status;
	while (!waitpid(pid, &status, WNOHANG)) {
		nanosleep(&nap, NULL);
		if (time(NULL) > until)
			kill(pid, SIGKILL);
	}
	return status;
}

int main(int argc, char **argv)
{
	pthread_t t[THREADS];
	int bad = 0, without = 0, late = 0;
	if (argc < 2)
		return 2;
	mkdir(argv[1], 0700);
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, hammer, (void *)i);
	for (int i = 0; i < FORKS && bad < 3; i++) {
		pid_t pid = fork();
		if (!pid)
			child();
		int status = ended(pid);
		if (status) {
			fprintf(stderr, "child %d ended with %#x\n", i,
			        (unsigned)status);
			bad++;
		}
		int left = unfinished(argv[1], pid);
		without += left < 0;
		late += left > 0;
	}
	atomic_store(&over, true);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	fprintf(stderr,
	        "of %d children %d ended badly, %d have no trace, %d no finished one\n",
	        FORKS, bad, without, late);
	return bad || without || late > FORKS / 10;
}
