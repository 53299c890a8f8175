/* nccl_values.c - see nccl_values.h. Called by nccl.c, on the caller's thread.
 * Called from: nccl.c. */
#include "nccl_values.h"
#include "known.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum type { INT8, UINT8, INT32, UINT32, INT64, UINT64, HALF, FLOAT, DOUBLE, BFLOAT16 };
enum { SUM };

size_t nccl_element_bytes(int type)
{
	static const unsigned char bytes[] = {1, 1, 4, 4, 8, 8, 2, 4, 8, 2, 1, 1};
	return type >= 0 && type < (int)sizeof(bytes) ? bytes[type] : 1;
}

static bool known(const void *at, size_t bytes)
{
	return tmksim_host_wrote_just_now(at, bytes) || tmksim_delivered(at, bytes);
}

void nccl_gather(void *to, const void *from, size_t bytes, int ranks)
{
	if (bytes > TMKSIM_KNOWN_MAX)
		return;
	bool real = known(from, bytes);
	for (int rank = 0; rank < ranks; rank++)
		memmove((char *)to + (size_t)rank * bytes, from, bytes);
	if (real)
		tmksim_deliver(to, bytes * (size_t)ranks);
}

void nccl_give(void *to, const void *from, size_t bytes)
{
	nccl_gather(to, from, bytes, 1);
}

/* Kernels write nothing, so a buffer that is summed in every step would grow for ever:
 * only what the host has just written is multiplied. */
static void multiply(void *at, enum type type, unsigned ranks)
{
	union {
		uint8_t u8;
		uint32_t u32;
		uint64_t u64;
		float f32;
		double f64;
		uint16_t half[2];
	} number = {0};
	size_t bytes = nccl_element_bytes(type);
	void *place = type == BFLOAT16 ? &number.half[1] : (void *)&number;

	memcpy(place, at, bytes);
	if (type == FLOAT || type == BFLOAT16) /* the latter is a float's upper half */
		number.f32 *= (float)ranks;
	else if (type == DOUBLE)
		number.f64 *= ranks;
	else if (type == HALF)
		return;
	else if (bytes == 1)
		number.u8 = (uint8_t)(number.u8 * ranks);
	else if (bytes == 4)
		number.u32 *= ranks;
	else
		number.u64 *= ranks;
	memcpy(at, place, bytes);
}

static bool all_zero(const char *at, size_t bytes)
{
	return !*at && !memcmp(at, at + 1, bytes - 1);
}

void nccl_reduce(void *to, const void *from, size_t count, int type, int operation,
                 int ranks)
{
	size_t element = nccl_element_bytes(type), bytes = count * element;

	if (!bytes || bytes > TMKSIM_KNOWN_MAX)
		return;
	/* zeros are where kernels begin to add */
	if (all_zero(from, bytes)) {
		memmove(to, from, bytes);
		return;
	}
	bool multiplied = operation == SUM && type >= INT8 && type <= BFLOAT16 &&
	                  tmksim_host_wrote_just_now(from, bytes);
	nccl_give(to, from, bytes);
	for (size_t i = 0; multiplied && i < count; i++)
		multiply((char *)to + i * element, (enum type)type, (unsigned)ranks);
}
