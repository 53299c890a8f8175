/* witness.c - preloaded in front of the library: counts what is called while a thread is inside the
 * allocator's report, that is, under the caching allocator's lock: by the library, by libunwind
 * which it calls, by anybody. Without the library there is nobody. */
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#define API __attribute__((visibility("default")))

enum { CALLS = 40 };
static __thread int inside __attribute__((tls_model("initial-exec")));
static volatile int on;
static _Atomic long counts[CALLS], reports;
static const char *names[CALLS];

API void witness(int begin);
API long witness_reports(void);

void witness(int begin)
{
	on = begin;
	for (int i = 0; !begin && i < CALLS; i++) {
		if (counts[i])
			printf("%s %ld\n", names[i], counts[i]);
		counts[i] = 0;
	}
	fflush(stdout);
}

long witness_reports(void)
{
	return reports;
}

#define COUNT(number, name)                                                            \
	do {                                                                           \
		if (inside && on) {                                                    \
			names[number] = name;                                          \
			counts[number]++;                                              \
		}                                                                      \
	} while (0)

/* Each goes on by a jump: who asks dlsym for the next one is told by the return address. */
#define PASS(number, name, type, parameters, arguments)                                \
	API type name parameters;                                                      \
	type name parameters                                                           \
	{                                                                              \
		static type(*next) parameters;                                         \
		COUNT(number, #name);                                                  \
		if (!next)                                                             \
			*(void **)&next = dlvsym(RTLD_NEXT, #name, "GLIBC_2.2.5");     \
		return next arguments;                                                 \
	}

PASS(0, dlsym, void *, (void *handle, const char *name), (handle, name))
PASS(1, dlopen, void *, (const char *path, int mode), (path, mode))
PASS(2, dladdr, int, (const void *p, Dl_info *i), (p, i))
PASS(3, dl_iterate_phdr, int,
     (int (*f)(struct dl_phdr_info *, size_t, void *), void *context), (f, context))
PASS(4, pthread_mutex_lock, int, (pthread_mutex_t * m), (m))
PASS(5, pthread_once, int, (pthread_once_t * o, void (*f)(void)), (o, f))
PASS(7, close, int, (int fd), (fd))
PASS(8, read, ssize_t, (int fd, void *p, size_t n), (fd, p, n))
PASS(9, write, ssize_t, (int fd, const void *p, size_t n), (fd, p, n))
PASS(10, mmap, void *, (void *p, size_t n, int a, int b, int c, off_t o),
     (p, n, a, b, c, o))
PASS(11, munmap, int, (void *p, size_t n), (p, n))
PASS(12, nanosleep, int, (const struct timespec *a, struct timespec *b), (a, b))
PASS(13, usleep, int, (useconds_t n), (n))
PASS(14, getpid, pid_t, (void), ())
PASS(15, access, int, (const char *p, int mode), (p, mode))
PASS(17, pthread_mutex_trylock, int, (pthread_mutex_t * m), (m))
PASS(18, pthread_rwlock_rdlock, int, (pthread_rwlock_t * l), (l))
PASS(19, pthread_rwlock_wrlock, int, (pthread_rwlock_t * l), (l))
PASS(23, sem_wait, int, (sem_t * s), (s))
PASS(24, sigprocmask, int, (int how, const sigset_t *set, sigset_t *old),
     (how, set, old))
PASS(25, mincore, int, (void *p, size_t n, unsigned char *to), (p, n, to))
PASS(26, sched_yield, int, (void), ())
PASS(27, mprotect, int, (void *p, size_t n, int what), (p, n, what))
PASS(28, madvise, int, (void *p, size_t n, int what), (p, n, what))
PASS(31, lseek, off_t, (int fd, off_t at, int from), (fd, at, from))
API void *malloc(size_t n);
API void *calloc(size_t n, size_t size);
API void *realloc(void *p, size_t n);
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

void *malloc(size_t n)
{
	COUNT(20, "malloc");
	return __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	COUNT(21, "calloc");
	return __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
	COUNT(22, "realloc");
	return __libc_realloc(p, n);
}

/* A function of its own since glibc 2.33. */
API int fstat(int fd, struct stat *to);

int fstat(int fd, struct stat *to)
{
	static int (*next)(int, struct stat *);
	COUNT(32, "fstat");
	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "fstat");
	return next(fd, to);
}

/* open and syscall take what they take. */
API int open(const char *path, int flags, int mode);
API long any_syscall(long n, long a, long b, long c, long d, long e,
                     long f) __asm__("syscall");

int open(const char *path, int flags, int mode)
{
	static int (*next)(const char *, int, int);
	COUNT(6, "open");
	if (!next)
		*(void **)&next = dlvsym(RTLD_NEXT, "open", "GLIBC_2.2.5");
	return next(path, flags, mode);
}

long any_syscall(long n, long a, long b, long c, long d, long e, long f)
{
	static long (*next)(long, long, long, long, long, long, long);
	COUNT(16, "syscall");
	if (!next)
		*(void **)&next = dlvsym(RTLD_NEXT, "syscall", "GLIBC_2.2.5");
	return next(n, a, b, c, d, e, f);
}

/* ---- the report, in front of the library's ------------------------------------------- */

typedef void report_fn(void *, int64_t, size_t, size_t, uint16_t);
API report_fn _ZN3c1027reportMemoryUsageToProfilerEPvlmmNS_6DeviceE;
static report_fn *next_report;

void _ZN3c1027reportMemoryUsageToProfilerEPvlmmNS_6DeviceE(void *p, int64_t bytes,
                                                           size_t allocated,
                                                           size_t reserved,
                                                           uint16_t device)
{
	inside++;
	reports += on;
	next_report(p, bytes, allocated, reserved, device);
	inside--;
}

__attribute__((constructor)) static void begin(void)
{
	*(void **)&next_report = dlsym(
	        RTLD_NEXT, "_ZN3c1027reportMemoryUsageToProfilerEPvlmmNS_6DeviceE");
}
