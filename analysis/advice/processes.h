/* processes.h - who is on a device, as PyTorch's out-of-memory message tells it (from NVML). */
#ifndef TIDEMARK_ANALYSIS_PROCESSES_H
#define TIDEMARK_ANALYSIS_PROCESSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct process {
	int64_t pid; /* as the host counts; -1 for the traced process */
	int64_t bytes; /* as rounded in the message: to a hundredth of a GiB, MiB or KiB */
};

enum { PROCESSES_MOST = 16 };
struct processes {
	struct process of[PROCESSES_MOST];
	size_t count;
	bool here; /* the traced process is among them: then the others are others */
	int64_t others; /* bytes of the others; -1 where it is not known who they are */
};

/* message may be NULL. Source: reportProcessMemoryInfo in c10/cuda/CUDACachingAllocator.cpp. */
struct processes processes_named(const char *message);

#endif
