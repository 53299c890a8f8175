/* ipc.c - memory and events of other processes, for the runtime. */
#include "cudart.h"
#include "ipc.h"

int cudaIpcGetMemHandle(struct tmksim_ipc_handle *handle, void *pointer)
{
	return cudart_error(tmksim_ipc_share(handle, pointer));
}

int cudaIpcOpenMemHandle(void **pointer, struct tmksim_ipc_handle handle,
                         unsigned flags)
{
	(void)flags; /* lazy peer access, the only one there is */
	return cudart_error(tmksim_ipc_open(pointer, &handle));
}

int cudaIpcCloseMemHandle(void *pointer)
{
	return cudart_error(tmksim_ipc_close(pointer));
}

int cudaIpcGetEventHandle(struct tmksim_ipc_handle *handle, event_t event)
{
	return cudart_error(tmksim_ipc_share_event(handle, event));
}

int cudaIpcOpenEventHandle(event_t *event, struct tmksim_ipc_handle handle)
{
	return cudart_error(tmksim_ipc_open_event(event, &handle));
}
