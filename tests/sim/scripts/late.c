/* late.c - autograd's threads are slow to go on once they have told another thread something, as
   on a busy machine: LD_PRELOAD for test_known.py. */
#define _GNU_SOURCE
#include <pthread.h>
#include <string.h>
#include <unistd.h>

void _ZNSt18condition_variable10notify_oneEv(pthread_cond_t *condition)
{
	char name[16] = "";

	pthread_cond_signal(condition);
	pthread_getname_np(pthread_self(), name, sizeof(name));
	if (!strncmp(name, "pt_autograd", 11))
		usleep(50 * 1000);
}
