/* nccl.c - collectives of a job of which one rank runs here: the others are taken to hold
 * what this one holds (nccl_values.c). */
#include "nccl_values.h"
#include "known.h"
#include "memory.h"
#include "card.h"
#include "config.h"
#include "stream.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS, INVALID_ARGUMENT = 4 };

struct comm {
	int size, rank, device;
	size_t charged;
};
struct unique_id {
	char bytes[128];
};

static int current_device(void)
{
	int (*get)(int *) = (int (*)(int *))dlsym(RTLD_DEFAULT, "cudaGetDevice");
	int device = 0;
	if (get)
		get(&device);
	return device;
}

int ncclGetVersion(int *version)
{
	*version = 22203;
	return SUCCESS;
}

const char *ncclGetErrorString(int error)
{
	return error ? "simulated NCCL error" : "no error";
}

const char *ncclGetLastError(struct comm *comm)
{
	(void)comm;
	return "";
}

int ncclGetUniqueId(struct unique_id *id)
{
	memset(id, 7, sizeof(*id));
	return SUCCESS;
}

static int create(struct comm **comm, int size, int rank)
{
	struct comm *made = calloc(1, sizeof(*made));
	if (!made)
		return 2; /* system error */
	made->size = size;
	made->rank = rank;
	made->device = current_device();
	made->charged = tmksim_number(TMKSIM_NCCL_BYTES);
	if (tmksim_charge(made->device, made->charged)) {
		free(made);
		return 1; /* unhandled CUDA error: what NCCL says when memory is short */
	}
	*comm = made;
	return SUCCESS;
}

int ncclCommInitRank(struct comm **comm, int size, struct unique_id id, int rank)
{
	(void)id;
	return create(comm, size, rank);
}

int ncclCommInitRankConfig(struct comm **comm, int size, struct unique_id id, int rank,
                           void *config)
{
	(void)config;
	return ncclCommInitRank(comm, size, id, rank);
}

int ncclCommInitRankScalable(struct comm **comm, int size, int rank, int ids,
                             struct unique_id *id, void *config)
{
	(void)ids, (void)id, (void)config;
	return create(comm, size, rank);
}

int ncclCommInitAll(struct comm **comms, int count, const int *devices)
{
	for (int i = 0; i < count; i++) {
		int error = create(&comms[i], count, i);
		if (error)
			return error;
		comms[i]->device = devices ? devices[i] : i;
	}
	return SUCCESS;
}

int ncclCommSplit(struct comm *parent, int color, int key, struct comm **comm,
                  void *config)
{
	(void)key, (void)config;
	enum { NO_COLOR = -1 };
	*comm = NULL;
	return color == NO_COLOR ? SUCCESS : create(comm, parent->size, parent->rank);
}

int ncclCommDestroy(struct comm *comm)
{
	if (comm) {
		tmksim_uncharge(comm->device, comm->charged);
		free(comm);
	}
	return SUCCESS;
}

int ncclCommAbort(struct comm *comm)
{
	return ncclCommDestroy(comm);
}

int ncclCommFinalize(struct comm *comm)
{
	(void)comm;
	return SUCCESS;
}

int ncclCommCount(const struct comm *comm, int *size)
{
	*size = comm->size;
	return SUCCESS;
}

int ncclCommUserRank(const struct comm *comm, int *rank)
{
	*rank = comm->rank;
	return SUCCESS;
}

int ncclCommCuDevice(const struct comm *comm, int *device)
{
	*device = comm->device;
	return SUCCESS;
}

int ncclCommGetAsyncError(struct comm *comm, int *error)
{
	(void)comm;
	*error = SUCCESS;
	return SUCCESS;
}

int ncclCommRegister(struct comm *comm, void *buffer, size_t bytes, void **handle)
{
	(void)comm, (void)bytes;
	*handle = buffer;
	return SUCCESS;
}

int ncclCommDeregister(struct comm *comm, void *handle)
{
	(void)comm, (void)handle;
	return SUCCESS;
}

/* Memory that NCCL hands out comes from the driver's virtual memory management. */
int ncclMemAlloc(void **pointer, size_t bytes)
{
	return tmksim_allocate(current_device(), bytes, TMKSIM_DEVICE, true, pointer)
	               ? 1
	               : 0;
}

int ncclMemFree(void *pointer)
{
	return tmksim_free(pointer, TMKSIM_DEVICE) ? INVALID_ARGUMENT : 0;
}

int ncclRedOpCreatePreMulSum(int *operation, void *scalar, int type, int residence,
                             struct comm *comm)
{
	(void)scalar, (void)type, (void)residence, (void)comm;
	*operation = 5; /* the first number behind the built-in ones */
	return SUCCESS;
}

int ncclRedOpDestroy(int operation, struct comm *comm)
{
	(void)operation, (void)comm;
	return SUCCESS;
}

static int done(struct tmksim_stream *stream)
{
	tmksim_work_collective(stream);
	return SUCCESS;
}

int ncclAllGather(const void *from, void *to, size_t count, int type, struct comm *comm,
                  struct tmksim_stream *stream)
{
	nccl_gather(to, from, count * nccl_element_bytes(type), comm->size);
	return done(stream);
}

int ncclAllReduce(const void *from, void *to, size_t count, int type, int operation,
                  struct comm *comm, struct tmksim_stream *stream)
{
	nccl_reduce(to, from, count, type, operation, comm->size);
	return done(stream);
}

int ncclReduce(const void *from, void *to, size_t count, int type, int operation,
               int root, struct comm *comm, struct tmksim_stream *stream)
{
	if (comm->rank == root)
		nccl_reduce(to, from, count, type, operation, comm->size);
	return done(stream);
}

int ncclReduceScatter(const void *from, void *to, size_t count, int type, int operation,
                      struct comm *comm, struct tmksim_stream *stream)
{
	size_t bytes = count * nccl_element_bytes(type);
	nccl_reduce(to, (const char *)from + (size_t)comm->rank * bytes, count, type,
	            operation, comm->size);
	return done(stream);
}

int ncclAlltoAll(const void *from, void *to, size_t count, int type, struct comm *comm,
                 struct tmksim_stream *stream)
{
	nccl_give(to, from, count * nccl_element_bytes(type) * (size_t)comm->size);
	return done(stream);
}

int ncclGather(const void *from, void *to, size_t count, int type, int root,
               struct comm *comm, struct tmksim_stream *stream)
{
	if (comm->rank == root)
		nccl_gather(to, from, count * nccl_element_bytes(type), comm->size);
	return done(stream);
}

int ncclScatter(const void *from, void *to, size_t count, int type, int root,
                struct comm *comm, struct tmksim_stream *stream)
{
	size_t bytes = count * nccl_element_bytes(type);
	if (comm->rank == root)
		nccl_give(to, (const char *)from + (size_t)root * bytes, bytes);
	return done(stream);
}

/* Groups: newer PyTorch gathers lists by one broadcast per root. What this rank would
 * receive is its own contribution, known when the group ends. */
enum { WAITING = 4096 };
static _Thread_local struct {
	void *to;
	size_t bytes;
} waiting[WAITING];
static _Thread_local int group_depth, waiting_count;
static _Thread_local const void *own;

static void receive(void *to, size_t bytes)
{
	if (bytes <= TMKSIM_KNOWN_MAX && group_depth && waiting_count < WAITING) {
		waiting[waiting_count].to = to;
		waiting[waiting_count++].bytes = bytes;
	}
}

int ncclGroupStart(void)
{
	group_depth++;
	return SUCCESS;
}

int ncclGroupEnd(void)
{
	if (group_depth > 1) {
		group_depth--;
		return SUCCESS;
	}
	/* the root of a gather sends itself nothing: it copies */
	for (int i = 0; i < waiting_count; i++) {
		size_t bytes = waiting[i].bytes;
		const void *from = own ? own : tmksim_last_copied(bytes);
		if (from)
			nccl_give(waiting[i].to, from, bytes);
	}
	group_depth = waiting_count = 0;
	own = NULL;
	return SUCCESS;
}

int ncclGroupSimulateEnd(void *information)
{
	(void)information;
	return ncclGroupEnd();
}

int ncclBroadcast(const void *from, void *to, size_t count, int type, int root,
                  struct comm *comm, struct tmksim_stream *stream)
{
	size_t bytes = count * nccl_element_bytes(type);
	if (root != comm->rank && group_depth) {
		receive(to, bytes);
	} else if (root != comm->rank) {
		nccl_give(to, to, bytes); /* as if the root had what this one has */
	} else {
		nccl_give(to, from, bytes);
		own = bytes <= TMKSIM_KNOWN_MAX ? to : own;
	}
	return done(stream);
}

int ncclBcast(void *buffer, size_t count, int type, int root, struct comm *comm,
              struct tmksim_stream *stream)
{
	return ncclBroadcast(buffer, buffer, count, type, root, comm, stream);
}

int ncclSend(const void *from, size_t count, int type, int peer, struct comm *comm,
             struct tmksim_stream *stream)
{
	(void)count, (void)type, (void)peer, (void)comm;
	own = from;
	return done(stream);
}

int ncclRecv(void *to, size_t count, int type, int peer, struct comm *comm,
             struct tmksim_stream *stream)
{
	(void)peer, (void)comm;
	receive(to, count * nccl_element_bytes(type));
	return done(stream);
}
