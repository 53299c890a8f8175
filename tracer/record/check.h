/* check.h - is this a record? For rings and spill that a crash or somebody else may have
 * damaged: a recovery believes nothing. */
#ifndef TIDEMARK_TRACER_CHECK_H
#define TIDEMARK_TRACER_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "record.h"

/* `room` bytes are there from r on. True: everything that the model reads of r lies inside
 * it, strings end, and numbers are in their ranges. */
bool tmk_record_is_sound(const struct tmk_record *r, uint64_t room);

#endif
