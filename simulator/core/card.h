/* card.h - the card that the simulated machine has, once or several times. */
#ifndef TIDEMARK_SIMULATOR_CARD_H
#define TIDEMARK_SIMULATOR_CARD_H

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

enum { TMKSIM_DEVICES = 64 }; /* as many as a machine may have */

/* Devices as the process counts them: those that CUDA_VISIBLE_DEVICES leaves it, in that
 * order. Read when first asked for, as CUDA does when it starts. */
int tmksim_device_count(void);
bool tmksim_device_exists(int device);
/* True once that list was read: CUDA has started in this process. */
bool tmksim_started(void);

/* Devices as the machine counts them (NVML, PCI). */
int tmksim_machine_count(void);
/* The machine's number of the process' device, and back; -1 for one it does not see. */
int tmksim_machine_number(int device);
int tmksim_device_number(int machine);

/* A device attribute in CUDA's numbering, the same for runtime and driver.
 * Returns false, and 0 as value, for one that has no meaning here. */
bool tmksim_attribute(int attribute, int device, int *value);

/* Sixteen bytes that name a device, by the machine's number; and as text. */
void tmksim_uuid(int machine, unsigned char uuid[16]);
void tmksim_uuid_text(int machine, char *text, size_t bytes);

#endif
