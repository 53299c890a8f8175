/* test_device_libraries.c - the simulated libraries from many threads and over forks, without
 * PyTorch: NCCL with its watchdogs, cuBLAS, all built into this program, so that the sanitizers
 * see them. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../test.h"

/* A child may have threads of its own here: what it takes over from the parent is the test. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "die_after_fork=0";
}

typedef void *handle;
struct unique_id {
	char bytes[128];
};
int cudaMalloc(void **pointer, size_t bytes);
int cudaFree(void *pointer);
int cudaMemcpy(void *to, const void *from, size_t bytes, int kind);
int cudaStreamCreateWithFlags(handle *stream, unsigned flags);
int cudaStreamDestroy(handle stream);
int cudaEventCreateWithFlags(handle *event, unsigned flags);
int cudaEventRecord(handle event, handle stream);
int cudaStreamWaitEvent(handle stream, handle event, unsigned flags);
int cudaEventDestroy(handle event);
int ncclGetUniqueId(struct unique_id *id);
int ncclCommInitRank(handle *comm, int size, struct unique_id id, int rank);
int ncclCommDestroy(handle comm);
int ncclAllReduce(const void *from, void *to, size_t count, int type, int operation,
                  handle comm, handle stream);
int ncclGroupStart(void);
int ncclGroupEnd(void);
int cublasCreate_v2(handle *handle);
int cublasDestroy_v2(handle handle);
int cublasSetMathMode(handle handle, int mode);
int cublasGetMathMode(handle handle, int *mode);

enum { FLOAT = 7, SUM = 0, TO_DEVICE = 1, TO_HOST = 2, RANKS = 4 };

static void use_libraries(void)
{
	handle comm, stream, blas, event;
	struct unique_id id;
	float host = 3, *p;
	int mode = 0;
	CHECK(!cudaStreamCreateWithFlags(&stream, 1) && !ncclGetUniqueId(&id));
	CHECK(!ncclCommInitRank(&comm, RANKS, id, 1));
	CHECK(!cudaMalloc((void **)&p, sizeof(*p)));
	CHECK(!cudaMemcpy(p, &host, sizeof(host), TO_DEVICE));
	CHECK(!ncclGroupStart());
	CHECK(!ncclAllReduce(p, p, 1, FLOAT, SUM, comm, stream));
	CHECK(!ncclGroupEnd() && !cudaEventCreateWithFlags(&event, 2));
	CHECK(!cudaEventRecord(event, stream));
	CHECK(!cudaStreamWaitEvent(NULL, event, 0)); /* as Work::wait() does */
	CHECK(!cudaEventDestroy(event));
	CHECK(!cudaMemcpy(&host, p, sizeof(host), TO_HOST) && host == 3 * RANKS);
	CHECK(!cublasCreate_v2(&blas) && !cublasSetMathMode(blas, 3));
	CHECK(!cublasGetMathMode(blas, &mode) && mode == 3 && !cublasDestroy_v2(blas));
	CHECK(!ncclCommDestroy(comm) && !cudaFree(p) && !cudaStreamDestroy(stream));
}

/* What PyTorch's watchdog does: it looks, and naps for a long while. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t never = PTHREAD_COND_INITIALIZER;
static atomic_int looks;
static atomic_bool over;

static void *watchdog(void *unused)
{
	(void)unused;
	pthread_setname_np(pthread_self(), "pt_nccl_watchdg");
	while (!atomic_load(&over)) {
		struct timespec until;
		atomic_fetch_add(&looks, 1);
		pthread_mutex_lock(&mutex);
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += atomic_load(&looks) > 1 ? 60 : 0;
		if (!atomic_load(&over))
			pthread_cond_timedwait(&never, &mutex, &until);
		pthread_mutex_unlock(&mutex);
	}
	return NULL;
}

static void end_watchdog(pthread_t t)
{
	atomic_store(&over, true);
	pthread_mutex_lock(&mutex);
	pthread_cond_broadcast(&never);
	pthread_mutex_unlock(&mutex);
	pthread_join(t, NULL);
}

/* A collective that is waited for lets each watchdog look, which sleeps for a minute else. */
static void be_watched(void)
{
	pthread_t t;
	atomic_store(&looks, 0);
	atomic_store(&over, false);
	CHECK(!pthread_create(&t, NULL, watchdog, NULL));
	while (atomic_load(&looks) < 2)
		usleep(1000);
	int before = atomic_load(&looks);
	for (int i = 0; i < 200 && atomic_load(&looks) < before + 3; i++)
		use_libraries();
	CHECK(atomic_load(&looks) >= before + 3);
	end_watchdog(t);
}

static void *hammer(void *unused)
{
	(void)unused;
	while (!atomic_load(&over))
		use_libraries();
	return NULL;
}

static void child_ends_well(void (*call)(void))
{
	int status;
	pid_t child = fork();
	if (!child) {
		alarm(120);
		call();
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && !status);
}

TEST("a collective that is waited for wakes the watchdogs, of a child its own")
{
	be_watched();
	child_ends_well(use_libraries);
	child_ends_well(be_watched);
}

TEST("children that are forked while other threads use the libraries can use them too")
{
	enum { THREADS = 3 };
	pthread_t t[THREADS], dog;
	use_libraries();
	CHECK(!pthread_create(&dog, NULL, watchdog, NULL));
	for (int i = 0; i < THREADS; i++)
		CHECK(!pthread_create(&t[i], NULL, hammer, NULL));
	for (int i = 0; i < 200; i++)
		child_ends_well(use_libraries);
	atomic_store(&over, true);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	end_watchdog(dog);
}

TEST_MAIN
