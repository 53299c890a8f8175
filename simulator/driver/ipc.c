/* ipc.c - memory and events of other processes, for the driver. */
#include "driver.h"
#include "ipc.h"

int cuIpcGetMemHandle(struct tmksim_ipc_handle *handle, device_pointer pointer)
{
	return tmksim_ipc_share(handle, (void *)pointer);
}

int cuIpcOpenMemHandle_v2(device_pointer *pointer, struct tmksim_ipc_handle handle,
                          unsigned flags)
{
	(void)flags;
	return tmksim_ipc_open((void **)pointer, &handle);
}

int cuIpcOpenMemHandle(device_pointer *pointer, struct tmksim_ipc_handle handle,
                       unsigned flags)
{
	return cuIpcOpenMemHandle_v2(pointer, handle, flags);
}

int cuIpcCloseMemHandle(device_pointer pointer)
{
	return tmksim_ipc_close((void *)pointer);
}

int cuIpcGetEventHandle(struct tmksim_ipc_handle *handle, struct tmksim_event *event)
{
	return tmksim_ipc_share_event(handle, event);
}

int cuIpcOpenEventHandle(struct tmksim_event **event, struct tmksim_ipc_handle handle)
{
	return tmksim_ipc_open_event(event, &handle);
}
