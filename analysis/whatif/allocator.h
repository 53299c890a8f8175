/* allocator.h - PyTorch's native caching allocator as a model: it hands out and takes back
 * sizes, and says what it would ask the device for. */
#ifndef TIDEMARK_ANALYSIS_ALLOCATOR_H
#define TIDEMARK_ANALYSIS_ALLOCATOR_H

#include "rules.h"

struct allocator;

/* capacity: bytes that it may take from the device, INT64_MAX without end. */
struct allocator *allocator_new(const struct rules *rules, int64_t capacity);
void allocator_free(struct allocator *allocator);

/* A block for so many bytes; -1: refused, after all that is cached was given back. */
int32_t allocator_take(struct allocator *allocator, int64_t bytes, int stream);
/* ... and a new segment, if it takes one, lies near this address: at it, where that is free, else
 * where the device has room first. -1: no wish. */
int32_t allocator_take_near(struct allocator *allocator, int64_t bytes, int stream,
                            int64_t wish);
/* ... lies at this address, whatever else does; then all of them are told. */
int32_t allocator_take_at(struct allocator *allocator, int64_t bytes, int stream,
                          int64_t address);
int64_t allocator_address(const struct allocator *allocator, int32_t block);
void allocator_give(struct allocator *allocator, int32_t block);
/* Does the allocator give cached memory back for a request that finds no block? What is aged, where
 * more is reserved than garbage_collection_threshold allows; else, where the device has too little
 * room, what it must. */
enum gives { GIVES_NOTHING, GIVES_AGED, GIVES_LACKING };
enum gives allocator_gives(struct allocator *allocator, int64_t bytes, int stream);
void allocator_empty_cache(struct allocator *allocator);

int64_t allocator_reserved(const struct allocator *allocator);
int64_t allocator_allocated(const struct allocator *allocator); /* as rounded */
int64_t allocator_retries(const struct allocator *allocator);
int64_t allocator_block_bytes(const struct allocator *allocator, int32_t block);

/* The most that can have been asked for where this block was given: a block has up to 1 MiB more
 * than what was asked for, rounded, if that is not worth a cut. */
int64_t allocator_asked(const struct rules *rules, int64_t block);
/* What a request counts for. Source: round_size in c10/cuda/CUDACachingAllocator.cpp. */
int64_t allocator_round(const struct rules *rules, int64_t bytes);

#endif
