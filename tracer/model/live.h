/* live.h - the allocations alive now, by device and address. All zeros is empty. Writer
 * thread. */
#ifndef TIDEMARK_TRACER_LIVE_H
#define TIDEMARK_TRACER_LIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "order.h"

enum {                          /* evidence an allocation has gathered */
       TMK_EV_LEAF = 1,         /* a leaf's storage lies in it */
       TMK_EV_CANDIDATE = 2,    /* given to AccumulateGrad in the running backward */
       TMK_EV_GRADIENT = 4,     /* ... and alive when that returned */
       TMK_EV_KEPT_BY_STEP = 8, /* alive when the Optimizer.step that made it ended */
       TMK_EV_SETUP = 16,       /* alive when setup ended */
       TMK_EV_UPDATE = 32, /* alive when the update without a step that made it ended */
       TMK_EV_ZEROED = 64, /* made in setup, of zeros or as a copy */
};

struct tmk_live {
	uint64_t ptr;
	int64_t bytes;
	int64_t requested;
	int64_t born_ns;
	int64_t row; /* in allocation; 0: not there (yet) */
	uint32_t born_step;
	uint32_t born; /* ordinal */
	uint32_t site;
	uint8_t device;
	uint8_t evidence;
	uint8_t named; /* 1 + tmk_tensor_kind Python gave it, or 0 */
	uint8_t phase;
	uint8_t bucket, rule;
	uint8_t unwritten; /* stands in the model's list of those without a row */
	uint8_t used;      /* live.c's own, as is what follows */
	uint32_t next;
};

enum { TMK_LIVE_NEW = 2048 };

struct tmk_live_table {
	struct tmk_live
	        *entry; /* entry[1 .. entries], those without `used` are vacant */
	uint32_t entries, room, vacant, count;
	struct tmk_live_slot *slot; /* entries by device and address */
	uint32_t mask;
	struct tmk_order order; /* ... by address, but for those born lately */
	uint32_t fresh[TMK_LIVE_NEW], fresh_count;
};

/* A new entry for (device, ptr), or the old one of that address (*existed), emptied. NULL
 * when there is no memory. The caller says how many bytes before the next call, and leaves
 * them so. Pointers are good until the next add. */
struct tmk_live *tmk_live_add(struct tmk_live_table *t, uint8_t device, uint64_t ptr,
                              bool *existed);
struct tmk_live *tmk_live_find(struct tmk_live_table *t, uint8_t device, uint64_t ptr);
/* The allocation that holds this address, views into it included: of any device, or of one.
 * Takes as long for a first byte as for another, and for any number of devices. */
struct tmk_live *tmk_live_around(struct tmk_live_table *t, uint64_t ptr);
struct tmk_live *tmk_live_around_on(struct tmk_live_table *t, uint8_t device,
                                    uint64_t ptr);
/* The first that lives after `entry`; NULL begins, and ends. */
struct tmk_live *tmk_live_next(const struct tmk_live_table *t,
                               const struct tmk_live *entry);
void tmk_live_remove(struct tmk_live_table *t, struct tmk_live *entry);
void tmk_live_free(struct tmk_live_table *t);

#endif
