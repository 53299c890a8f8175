/* test_device.c - the simulated device from many threads and over forks, without PyTorch: its
 * core, runtime and driver are built into this program, so that the sanitizers see them. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../test.h"
#include "cudart/cudart.h"
#include "ipc.h"
#include "lock.h"
#include "memory.h"
#include "stream.h"

typedef void *handle;
int cudaMalloc(void **pointer, size_t bytes);
int cudaFree(void *pointer);
int cudaMallocAsync(void **pointer, size_t bytes, handle stream);
int cudaFreeAsync(void *pointer, handle stream);
int cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes);
int cudaStreamCreateWithFlags(handle *stream, unsigned flags);
int cudaStreamDestroy(handle stream);
int cudaStreamSynchronize(handle stream);
int cudaStreamBeginCapture(handle stream, int mode);
int cudaStreamEndCapture(handle stream, handle *graph);
int cudaGraphDestroy(handle graph);
int cudaEventCreateWithFlags(handle *event, unsigned flags);
int cudaEventRecord(handle event, handle stream);
int cudaEventQuery(handle event);
int cudaEventDestroy(handle event);
int cudaGetDeviceCount(int *count);
int cuMemCreate(handle *memory, size_t bytes, const void *properties,
                unsigned long long flags);
int cuMemRelease(handle memory);
int cuMemAddressReserve(uint64_t *at, size_t bytes, size_t alignment, uint64_t wish,
                        unsigned long long flags);
int cuMemAddressFree(uint64_t at, size_t bytes);
int cuMemMap(uint64_t at, size_t bytes, size_t offset, handle memory,
             unsigned long long flags);
int cuMemUnmap(uint64_t at, size_t bytes);

/* What a program does with a device, once through each lock. */
static void use_device(void)
{
	handle stream, event, graph;
	void *p, *q;
	size_t left, all;
	int count;
	CHECK(!cudaGetDeviceCount(&count) && count == 1);
	CHECK(!cudaMalloc(&p, 20002) && !cudaMallocAsync(&q, 3 << 20, NULL));
	CHECK(!cudaMemGetInfo(&left, &all) && left < all);
	CHECK(!cudaStreamCreateWithFlags(&stream, 1));
	CHECK(!cudaEventCreateWithFlags(&event, 2));
	CHECK(!cudaEventRecord(event, stream));
	cudaEventQuery(event);
	CHECK(!cudaStreamBeginCapture(stream, 2));
	CHECK(!cudaStreamEndCapture(stream, &graph) && !cudaGraphDestroy(graph));
	CHECK(!cudaStreamSynchronize(stream));
	CHECK(!cudaEventDestroy(event) && !cudaStreamDestroy(stream));
	CHECK(!cudaFreeAsync(q, NULL) && !cudaFree(p));
}

int cudaDeviceGetDefaultMemPool(handle *pool, int device);
int cudaMemPoolSetAttribute(handle pool, int attribute, void *value);
int cudaMemPoolGetAttribute(handle pool, int attribute, void *value);
int cudaMemPoolTrimTo(handle pool, size_t keep);
int cudaStreamWaitEvent(handle stream, handle event, unsigned flags);
int cudaStreamQuery(handle stream);
int cudaDeviceSynchronize(void);

/* What all threads do with the same stream, event and pool. */
static handle stream_of_all, event_of_all;

static void share_objects(void)
{
	handle pool;
	uint64_t used, threshold = 1 << 20;
	void *p;
	CHECK(!cudaMallocAsync(&p, 12345, stream_of_all));
	CHECK(!cudaEventRecord(event_of_all, stream_of_all));
	CHECK(!cudaStreamWaitEvent(NULL, event_of_all, 0));
	cudaEventQuery(event_of_all);
	cudaStreamQuery(stream_of_all);
	CHECK(!cudaDeviceGetDefaultMemPool(&pool, 0));
	CHECK(!cudaMemPoolSetAttribute(pool, 4, &threshold));
	CHECK(!cudaMemPoolGetAttribute(pool, 7, &used) && used);
	CHECK(!cudaFreeAsync(p, stream_of_all));
	CHECK(!cudaMemPoolTrimTo(pool, 0) && !cudaDeviceSynchronize());
}

static void map_memory(void)
{
	const int properties[8] = {1, 0, 1, 0}; /* pinned, on device 0 */
	handle memory;
	uint64_t at = 0;
	CHECK(!cuMemCreate(&memory, 2 << 20, properties, 0));
	CHECK(!cuMemAddressReserve(&at, 4 << 20, 0, 0, 0));
	CHECK(!cuMemMap(at, 2 << 20, 0, memory, 0));
	CHECK(!cuMemRelease(memory));
	CHECK(!cuMemUnmap(at, 2 << 20) && !cuMemAddressFree(at, 4 << 20));
}

/* A handle of another process', that opens for as long as that process lives. */
static struct tmksim_ipc_handle others;
static pid_t other;

static void share(void)
{
	int ends[2];
	CHECK(!pipe(ends));
	other = fork();
	if (!other) {
		void *p;
		alarm(60); /* nobody may be left to end it */
		CHECK(!cudaMalloc(&p, 4 << 20) && !tmksim_ipc_share(&others, p));
		CHECK(write(ends[1], &others, sizeof(others)) == sizeof(others));
		pause();
	}
	CHECK(read(ends[0], &others, sizeof(others)) == sizeof(others));
}

static void open_others(void)
{
	void *p;
	CHECK(!tmksim_ipc_open(&p, &others) && !tmksim_ipc_close(p));
}

static atomic_bool over;

static void *hammer(void *what)
{
	void (*const calls[])(void) = {use_device, map_memory, open_others,
	                               share_objects};
	for (uintptr_t i = (uintptr_t)what; !atomic_load(&over); i++)
		calls[i % 4]();
	return NULL;
}

static void with_threads(void (*then)(void))
{
	enum { THREADS = 4 };
	pthread_t thread[THREADS];
	CHECK(!cudaStreamCreateWithFlags(&stream_of_all, 1));
	CHECK(!cudaEventCreateWithFlags(&event_of_all, 2));
	atomic_store(&over, false);
	for (uintptr_t i = 0; i < THREADS; i++)
		CHECK(!pthread_create(&thread[i], NULL, hammer, (void *)i));
	then();
	atomic_store(&over, true);
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
}

static void wait_a_little(void)
{
	usleep(1500000);
}

static void fork_often(void)
{
	for (int i = 0; i < 300; i++) {
		pid_t child = fork();
		if (!child) {
			alarm(120);
			use_device();
			map_memory();
			open_others();
			share_objects();
			_exit(0);
		}
		int status;
		CHECK(waitpid(child, &status, 0) == child && !status);
	}
}

TEST("threads that share a device leave its memory as they found it")
{
	size_t before, after, all;
	share();
	use_device();
	CHECK(!cudaMemGetInfo(&before, &all));
	with_threads(wait_a_little);
	CHECK(!cudaMemGetInfo(&after, &all) && after >= before - (64 << 20));
	kill(other, SIGKILL);
}

TEST("a child that is forked while other threads use the device can use it too")
{
#ifdef __SANITIZE_ADDRESS__
	/* Caught here with a debugger: the child waits for a lock of the sanitizer's own
	 * malloc, which a thread of the parent's had. The other builds run this. */
	SKIP("GCC's AddressSanitizer leaves its malloc locked in a forked child");
#endif
	share();
	with_threads(fork_often);
	kill(other, SIGKILL);
}

TEST("memory that runs out is refused to each thread and comes back")
{
	enum { SIZE = 1 << 30 };
	void *p[200];
	int n = 0;
	size_t before, after, all;
	CHECK(!cudaMemGetInfo(&before, &all));
	while (n < 200 && !cudaMalloc(&p[n], SIZE))
		n++;
	CHECK(n > 10 && n < 200);
	void *q;
	CHECK(cudaMallocAsync(&q, (size_t)2 * SIZE, NULL) == 2);
	for (int i = 0; i < n; i++)
		CHECK(!cudaFree(p[i]));
	CHECK(!cudaMemGetInfo(&after, &all) && after == before);
}

TEST_MAIN

TEST("streams join a capture by an event, leave when it ends, and can be captured "
     "again")
{
	handle first, second, event, graph;
	enum { CAPTURED_EVENT = 907, ILLEGAL_STATE = 401 };
	CHECK(!cudaStreamCreateWithFlags(&first, 1));
	CHECK(!cudaStreamCreateWithFlags(&second, 1));
	CHECK(!cudaEventCreateWithFlags(&event, 2));
	for (int round = 0; round < 200; round++) { /* there are fewer slots */
		CHECK(!cudaStreamBeginCapture(first, 0));
		CHECK(cudaStreamBeginCapture(first, 0) == ILLEGAL_STATE);
		CHECK(!cudaEventRecord(event, first));
		CHECK(!cudaStreamWaitEvent(second, event, 0));
		CHECK(tmksim_capture_status(second) == 1);
		CHECK(cudaStreamBeginCapture(second, 0) == ILLEGAL_STATE);
		CHECK(cudaEventQuery(event) == CAPTURED_EVENT);
		CHECK(cudaStreamEndCapture(second, &graph)); /* not where it began */
		CHECK(!cudaStreamEndCapture(first, &graph) && !cudaGraphDestroy(graph));
		CHECK(!tmksim_capture_status(second));
		CHECK(!cudaEventQuery(event) && !cudaStreamQuery(second));
	}
	CHECK(!cudaEventDestroy(event));
	CHECK(!cudaStreamDestroy(first) && !cudaStreamDestroy(second));
}
