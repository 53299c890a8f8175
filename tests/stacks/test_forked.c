/* test_forked.c - a child that is forked while another thread prepares the walkers can
 * prepare them itself. Exit status 0 or 1, or 77 (skip). */
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cstack.h"
#include "latch.h"

static sem_t inside, go_on;
static pid_t parent;

/* In front of libc's: the thread stands in the loader while the other one forks. */
void *dlopen(const char *name, int flags)
{
	void *(*real)(const char *, int) =
	        (void *(*)(const char *, int))dlsym(RTLD_NEXT, "dlopen");
	if (name && strstr(name, "libunwind") && getpid() == parent) {
		sem_post(&inside);
		sem_wait(&go_on);
	}
	return real(name, flags);
}

static void *prepare(void *rc)
{
	char why[256];
	*(int *)rc = tmk_cstack_init(why, sizeof(why));
	return NULL;
}

static uint32_t missing;

static void in_child(void)
{
	missing = tmk_latches_in_child();
	tmk_cstack_forked();
}

int main(void)
{
	pthread_t thread;
	int rc, status;
	parent = getpid();
	sem_init(&inside, 0, 0);
	sem_init(&go_on, 0, 0);
	pthread_create(&thread, NULL, prepare, &rc);
	sem_wait(&inside);
	pthread_atfork(tmk_latches_before_fork, tmk_latches_after_fork, in_child);
	pid_t child = fork();
	if (!child) {
		alarm(120);
		prepare(&rc);
		/* fork() has waited for it, and not for ever */
		_exit(missing != 1u << TMK_LATCH_NATIVE || (!rc && !tmk_cstack_walk()));
	}
	waitpid(child, &status, 0);
	sem_post(&go_on);
	pthread_join(thread, NULL);
	if (rc)
		return 77;
	if (status)
		fprintf(stderr, "the child ended with %#x\n", (unsigned)status);
	return status != 0;
}
