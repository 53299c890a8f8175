/* order.h - ranges of addresses by where they begin, each with a device and an owner (a
 * number of the caller's). Ranges may overlap: devices may count from the same number, and
 * a block whose free was not seen stays. All zeros is empty. Writer thread. */
#ifndef TIDEMARK_TRACER_ORDER_H
#define TIDEMARK_TRACER_ORDER_H

#include <stdbool.h>
#include <stdint.h>

enum {
	TMK_ORDER_WIDE =
	        32,         /* ranges in a leaf: as many devices may share an address */
	TMK_ORDER_ANY = 255 /* no device: all of them */
};

struct tmk_order_node;
struct tmk_order {
	struct tmk_order_node *node; /* numbers from 1 */
	uint32_t room, used;         /* below `used`: taken at least once */
	uint32_t vacant;             /* given back, as a list; 0 ends it */
	uint32_t spare;              /* how many more there are without new memory */
	uint32_t root, height;       /* root 0: empty; height 0: the root is a leaf */
};

/* False where there is no memory; nothing has changed then. */
bool tmk_order_add(struct tmk_order *o, uint64_t start, uint64_t bytes, uint8_t device,
                   uint32_t owner);
/* What was added with these; a range that is not there is no harm. */
void tmk_order_remove(struct tmk_order *o, uint64_t start, uint32_t owner);
/* The owner of the range that holds this address, -1 if none does. Of several the one that
 * begins last, and of those the one on the device with the lowest number. */
int64_t tmk_order_around(const struct tmk_order *o, uint8_t device, uint64_t address);
void tmk_order_free(struct tmk_order *o);

#endif
