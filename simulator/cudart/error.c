/* error.c - the thread's last error, and errors by name.
 * Called from: cudart/. */
#include "cudart.h"

static _Thread_local int last;

int cudart_error(int error)
{
	if (error)
		last = error;
	return error;
}

int cudaGetLastError(void)
{
	int error = last;
	last = 0;
	return error;
}

int cudaPeekAtLastError(void)
{
	return last;
}

/* Those that the simulated device can return. */
static const struct {
	int error;
	const char *name, *text;
} errors[] = {
        {0, "cudaSuccess", "no error"},
        {1, "cudaErrorInvalidValue", "invalid argument"},
        {2, "cudaErrorMemoryAllocation", "out of memory"},
        {52, "cudaErrorMissingConfiguration",
         "__global__ function call is not configured"},
        {98, "cudaErrorInvalidDeviceFunction", "invalid device function"},
        {100, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
        {101, "cudaErrorInvalidDevice", "invalid device ordinal"},
        {200, "cudaErrorInvalidKernelImage", "device kernel image is invalid"},
        {201, "cudaErrorDeviceUninitialized", "invalid device context"},
        {209, "cudaErrorNoKernelImageForDevice",
         "no kernel image is available for execution on the device"},
        {400, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
        {401, "cudaErrorIllegalState",
         "the operation cannot be performed in the present state"},
        {500, "cudaErrorSymbolNotFound", "named symbol not found"},
        {600, "cudaErrorNotReady", "device not ready"},
        {700, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
        {704, "cudaErrorPeerAccessAlreadyEnabled", "peer access is already enabled"},
        {705, "cudaErrorPeerAccessNotEnabled", "peer access has not been enabled"},
        {712, "cudaErrorHostMemoryAlreadyRegistered",
         "part or all of the requested memory range is already mapped"},
        {713, "cudaErrorHostMemoryNotRegistered",
         "pointer does not correspond to a registered memory region"},
        {801, "cudaErrorNotSupported", "operation not supported"},
        {900, "cudaErrorStreamCaptureUnsupported",
         "operation not permitted when stream is capturing"},
        {901, "cudaErrorStreamCaptureInvalidated",
         "operation failed due to a previous error during capture"},
        {907, "cudaErrorCapturedEvent",
         "operation not permitted on an event last recorded in a capturing stream"},
};
enum { ERRORS = sizeof(errors) / sizeof(*errors) };

const char *cudaGetErrorString(int error)
{
	for (int i = 0; i < ERRORS; i++)
		if (errors[i].error == error)
			return errors[i].text;
	return "unknown error";
}

const char *cudaGetErrorName(int error)
{
	for (int i = 0; i < ERRORS; i++)
		if (errors[i].error == error)
			return errors[i].name;
	return "cudaErrorUnknown";
}
