/* quantity.h - numbers as people type them. */
#ifndef TIDEMARK_ANALYSIS_QUANTITY_H
#define TIDEMARK_ANALYSIS_QUANTITY_H

#include <stdbool.h>
#include <stdint.h>

enum quantity { QUANTITY_GOOD, QUANTITY_NONSENSE, QUANTITY_FRACTION, QUANTITY_HUGE };

/* "7B", "7e9", "110M", "175000000000": K, M, B and T are powers of 1000. */
enum quantity quantity_count(const char *text, int64_t *value);

/* "24GB", "24GiB", "80g", "512": a letter alone means the binary unit. */
enum quantity quantity_size(const char *text, int64_t *value);

/* "1.2" in millionths. */
enum quantity quantity_factor(const char *text, int64_t *millionths);

#endif
