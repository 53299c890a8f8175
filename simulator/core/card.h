/* card.h - the card that the simulated machine has, once or several times. */
#ifndef TMKSIM_CARD_H
#define TMKSIM_CARD_H

#include <stdbool.h>
#include <stddef.h>

struct tmksim_card {
	char name[64];
	int major, minor;    /* compute capability */
	int multiprocessors; /* SMs */
	size_t memory_bytes; /* as the driver reports it, below the module's size */
	size_t context_bytes;
	size_t l2_bytes;
	int shared_per_multiprocessor, shared_per_block; /* bytes; the opt-in maximum */
	int threads_per_multiprocessor, blocks_per_multiprocessor;
	int clock_khz, memory_clock_khz, bus_bits;
};

/* The card; read from TIDEMARK_SIM_PROFILE at the first call. */
const struct tmksim_card *tmksim_card(void);

int tmksim_device_count(void);
bool tmksim_device_exists(int device);

/* A device attribute in CUDA's numbering, the same for runtime and driver.
 * Returns false, and 0 as value, for one that has no meaning here. */
bool tmksim_attribute(int attribute, int device, int *value);

/* Sixteen bytes that name a device. */
void tmksim_uuid(int device, unsigned char uuid[16]);

#endif
