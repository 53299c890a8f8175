/* attribute.c - device attributes by CUDA's number.
 * Called from: cudart/device.c, driver/device.c. */
#include "card.h"

/* What every card of compute capability 7.0 to 12.x has in common. */
static const struct {
	int attribute, value;
} constants[] = {
        {1, 1024}, /* threads per block */
        {2, 1024}, /* block x, y, z */
        {3, 1024},
        {4, 64},
        {5, 2147483647}, /* grid x, y, z */
        {6, 65535},
        {7, 65535},
        {8, 49152},       /* shared memory per block, without opting in */
        {9, 65536},       /* constant memory */
        {10, 32},         /* warp */
        {11, 2147483647}, /* pitch */
        {12, 65536},      /* registers per block */
        {14, 512},        /* texture alignment */
        {15, 1},          /* overlap of copy and execution */
        {19, 1},          /* host memory can be mapped */
        {31, 1},          /* concurrent kernels */
        {32, 1},          /* ECC */
        {40, 3},          /* copy engines */
        {41, 1},          /* unified addressing */
        {51, 32},         /* texture pitch alignment */
        {78, 1},          /* stream priorities */
        {79, 1},          /* L1 caching of globals and locals */
        {80, 1},
        {82, 65536}, /* registers per multiprocessor */
        {83, 1},     /* managed memory */
        {86, 0},     /* native host atomics */
        {89, 1},     /* concurrent managed access */
        {90, 1},     /* compute preemption */
        {91, 1},     /* host pointers for registered memory */
        {95, 1},     /* cooperative launch */
        {99, 1},     /* host registration */
        {102, 1},    /* virtual memory management */
        {103, 1},    /* file-descriptor handles for it */
        {111, 1024}, /* shared memory the system takes per block */
        {115, 1},    /* memory pools */
        {119, 1},    /* their handle types: file descriptor */
        {125, 1},    /* IPC events */
        /* no meaning here, and no use: modes, textures, graphics, MPS, NUMA */
        {17, 0},
        {18, 0},
        {20, 0},
        {34, 0},
        {35, 0},
        {50, 0},
        {84, 0},
        {85, 0},
        {88, 0},
        {98, 0},
        {100, 0},
        {101, 0},
        {110, 0},
        {112, 0},
        {116, 0},
        {121, 0},
        {128, 0},
        {132, 0},
        {133, 0},
};

static bool of_card(int attribute, int device, int *value)
{
	const struct tmksim_card *card = tmksim_card();
	switch (attribute) {
	case 13:
		*value = card->clock_khz;
		return true;
	case 16:
		*value = card->multiprocessors;
		return true;
	case 33: /* PCI bus: one a device */
		*value = tmksim_machine_number(device) + 1;
		return true;
	case 36:
		*value = card->memory_clock_khz;
		return true;
	case 37:
		*value = card->bus_bits;
		return true;
	case 38:
		*value = (int)card->l2_bytes;
		return true;
	case 39:
		*value = card->threads_per_multiprocessor;
		return true;
	case 75:
		*value = card->major;
		return true;
	case 76:
		*value = card->minor;
		return true;
	case 81:
		*value = card->shared_per_multiprocessor;
		return true;
	case 97:
		*value = card->shared_per_block;
		return true;
	case 106:
		*value = card->blocks_per_multiprocessor;
		return true;
	case 108: /* L2 that can be set aside: from Ampere on, three quarters */
		*value = card->major >= 8 ? (int)(card->l2_bytes / 4 * 3) : 0;
		return true;
	case 120: /* thread-block clusters */
		*value = card->major >= 9;
		return true;
	default:
		return false;
	}
}

bool tmksim_attribute(int attribute, int device, int *value)
{
	*value = 0;
	if (of_card(attribute, device, value))
		return true;
	for (unsigned i = 0; i < sizeof(constants) / sizeof(*constants); i++) {
		if (constants[i].attribute != attribute)
			continue;
		*value = constants[i].value;
		return true;
	}
	return false;
}
