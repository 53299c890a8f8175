/* sharded.h - a model that several devices share, on the tape of one of them: FSDP2 (fully_shard on
 * every layer and on the model) and DDP. */
#ifndef TIDEMARK_ANALYSIS_SHARDED_H
#define TIDEMARK_ANALYSIS_SHARDED_H

#include <stddef.h>

#include "tape.h"

struct sharding;

/* How wide an element is, in bytes: of the shards and their gradients, of what is gathered, of what
 * is reduced. */
struct sharded_widths {
	int shard, gathered, reduced;
};

/* world: devices. The weights are told one by one, in order, with the tensor that the layers
 * compute with, which holds nothing until it is gathered. */
struct sharding *sharding_new(struct tape *tape, int64_t world,
                              const struct sharded_widths *widths);
void sharding_free(struct sharding *s);
/* Elements of this device's part of it. */
int64_t sharding_weight(struct sharding *s, tensor_id weight, int64_t rows,
                        int64_t columns);
/* The weights since the last group are one: what is gathered at once. Its number. The root's come
 * last, and with those before the first group of a layer: sharding_root(). */
int sharding_group(struct sharding *s);
void sharding_leave_out(struct sharding *s); /* ... are the root's */
void sharding_root(struct sharding *s);

/* Around the forward of a group's module; SHARDING_ROOT around that of all. */
enum { SHARDING_ROOT = -1 };
void sharding_before(struct sharding *s, int group);
void sharding_after(struct sharding *s, int group);
void sharding_backward_ends(struct sharding *s);
void sharding_zero_grad(struct sharding *s);

/* DDP's buckets: bytes of all gradients once more. sizes: elements of each weight. */
void ddp_buckets(struct tape *tape, const int64_t *sizes, size_t count, int width);

#endif
