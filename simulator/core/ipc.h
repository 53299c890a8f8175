/* ipc.h - memory and events of another process. A handle names the owner's allocation; who
 * opens it gets addresses of the same size that are charged nowhere: the owner pays. What
 * is written on one side is not seen on the other. Any thread may call.
 * Functions return 0 or a CUDA error number, the same for runtime and driver. */
#ifndef TIDEMARK_SIMULATOR_IPC_H
#define TIDEMARK_SIMULATOR_IPC_H

struct tmksim_event;

struct tmksim_ipc_handle { /* cudaIpcMemHandle_t, CUipcEventHandle... */
	char bytes[64];
};

int tmksim_ipc_share(struct tmksim_ipc_handle *handle, const void *pointer);
/* Opening one again gives the same address; it has to be closed as often. */
int tmksim_ipc_open(void **pointer, const struct tmksim_ipc_handle *handle);
int tmksim_ipc_close(void *pointer);

/* Work of another process is always done: the event that is opened has happened. */
int tmksim_ipc_share_event(struct tmksim_ipc_handle *handle,
                           const struct tmksim_event *event);
int tmksim_ipc_open_event(struct tmksim_event **event,
                          const struct tmksim_ipc_handle *handle);

#endif
