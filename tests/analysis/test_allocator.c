/* test_allocator.c - the model of PyTorch's caching allocator beside sums worked out by hand from
 * c10/cuda/CUDACachingAllocator.cpp. tests/oom/test_replay.py holds it against real runs. */
#include "../test.h"

#include "allocator.h"

#define KIB ((int64_t)1 << 10)
#define MIB ((int64_t)1 << 20)

static struct rules plain(void)
{
	return (struct rules){.max_split = INT64_MAX,
	                      .max_non_split_rounding = 20 * MIB};
}

static struct allocator *new_one(int64_t capacity)
{
	struct rules rules = plain();

	return allocator_new(&rules, capacity);
}

TEST("requests are rounded to 512 bytes, and by divisions of a power of two where "
     "wanted")
{
	struct rules rules = plain();

	CHECK(allocator_round(&rules, 1) == 512);
	CHECK(allocator_round(&rules, 512) == 512);
	CHECK(allocator_round(&rules, 513) == 1024);
	for (int i = 0; i < 16; i++)
		rules.roundup_divisions[i] = 4;
	/* The example of PyTorch's notes: 1200 with four divisions is 1280. */
	CHECK(allocator_round(&rules, 1200) == 1536); /* below 4 x 512: as without */
	CHECK(allocator_round(&rules, 5 * MIB + 1) == 6 * MIB);
	CHECK(allocator_round(&rules, 4 * MIB) == 4 * MIB);
	/* Of a block that was not worth a cut: 11 MiB were given for 10 at most. */
	CHECK(allocator_asked(&rules, 11 * MIB) == 10 * MIB);
	CHECK(allocator_asked(&rules, 10 * MIB) == 10 * MIB);
}

TEST("a small request takes 2 MiB, one below 10 MiB takes 20, a larger one multiples "
     "of 2")
{
	struct allocator *a = new_one(INT64_MAX);

	CHECK(allocator_take(a, 1000, 0) >= 0);
	CHECK(allocator_reserved(a) == 2 * MIB);
	CHECK(allocator_take(a, MIB, 0) >= 0); /* the same segment: 1 MiB is small */
	CHECK(allocator_reserved(a) == 2 * MIB);
	CHECK(allocator_take(a, MIB + 1, 0) >= 0);
	CHECK(allocator_reserved(a) == 22 * MIB);
	CHECK(allocator_take(a, 21 * MIB, 0) >= 0);
	CHECK(allocator_reserved(a) == 44 * MIB);
	allocator_free(a);
}

TEST("an address near the end of what numbers can say is no place: the request is "
     "refused")
{
	struct allocator *a = new_one(INT64_MAX);
	int64_t reserved;

	CHECK(allocator_take_near(a, 64 * MIB, 0, INT64_MAX - 10 * MIB) < 0);
	CHECK(allocator_reserved(a) == 0);
	CHECK(allocator_take_near(a, 8 * MIB, 0, INT64_MAX - 64 * MIB) >= 0);
	CHECK(allocator_take_near(a, 80 * MIB, 0, INT64_MAX - 64 * MIB) < 0);
	reserved = allocator_reserved(a);
	CHECK(allocator_take_near(a, 80 * MIB, 0, INT64_MAX - 512 * MIB) >= 0);
	CHECK(allocator_reserved(a) == reserved + 80 * MIB);
	allocator_free(a);
}

TEST("the smallest free block that fits is taken, and cut where more than 1 MiB is "
     "left")
{
	struct allocator *a = new_one(INT64_MAX);
	int32_t large = allocator_take(a, 40 * MIB, 0),
	        small = allocator_take(a, 30 * MIB, 0);
	int32_t again;

	allocator_give(a, large);
	allocator_give(a, small);
	again = allocator_take(a, 29 * MIB + 512 * KIB, 0);
	CHECK(allocator_reserved(a) == 70 * MIB);
	CHECK(allocator_block_bytes(a, again) ==
	      30 * MIB); /* half a MiB is not cut off */
	again = allocator_take(a, 12 * MIB, 0);
	CHECK(allocator_block_bytes(a, again) == 12 * MIB);
	CHECK(allocator_take(a, 28 * MIB, 0) >= 0); /* what was left of it */
	CHECK(allocator_reserved(a) == 70 * MIB);
	allocator_free(a);
}

TEST("free neighbours become one block again")
{
	struct allocator *a = new_one(INT64_MAX);
	int32_t whole = allocator_take(a, 60 * MIB, 0), part[3];

	allocator_give(a, whole);
	for (int i = 0; i < 3; i++)
		part[i] = allocator_take(a, 20 * MIB, 0);
	allocator_give(a, part[0]);
	allocator_give(a, part[2]);
	allocator_give(a, part[1]);
	CHECK(allocator_take(a, 60 * MIB, 0) >= 0);
	CHECK(allocator_reserved(a) == 60 * MIB);
	allocator_free(a);
}

TEST("what is cached is given back before a request is refused, if no block is left in "
     "it")
{
	struct allocator *a = new_one(100 * MIB);
	int32_t first = allocator_take(a, 60 * MIB, 0), held;

	allocator_give(a, first);
	held = allocator_take(a, 2 * MIB, 0); /* out of the 60 */
	CHECK(allocator_take(a, 80 * MIB, 0) == -1);
	CHECK(allocator_retries(a) == 1 && allocator_reserved(a) == 60 * MIB);
	allocator_give(a, held);
	CHECK(allocator_take(a, 80 * MIB, 0) >= 0);
	CHECK(allocator_retries(a) == 2 && allocator_reserved(a) == 80 * MIB);
	allocator_free(a);
}

TEST("streams have blocks of their own")
{
	struct allocator *a = new_one(INT64_MAX);

	allocator_give(a, allocator_take(a, 30 * MIB, 0));
	CHECK(allocator_take(a, 30 * MIB, 1) >= 0);
	CHECK(allocator_reserved(a) == 60 * MIB);
	allocator_free(a);
}

TEST("with max_split_size a large block is not cut for a small request")
{
	struct rules rules = plain();
	struct allocator *a;

	rules.max_split = 50 * MIB;
	a = allocator_new(&rules, INT64_MAX);
	allocator_give(a, allocator_take(a, 64 * MIB, 0));
	CHECK(allocator_take(a, 10 * MIB, 0) >= 0);
	CHECK(allocator_reserved(a) == 74 * MIB);
	CHECK(allocator_take(a, 60 * MIB, 0) >= 0); /* within 20 MiB of its size */
	CHECK(allocator_reserved(a) == 74 * MIB);
	allocator_free(a);
}

TEST("with max_split_size what makes room goes back largest first, or the smallest "
     "block that is "
     "enough alone")
{
	struct rules rules = plain();
	struct allocator *a;
	int32_t blocks[3];

	rules.max_split = 40 * MIB;
	a = allocator_new(&rules, 160 * MIB);
	blocks[0] = allocator_take(a, 42 * MIB, 0);
	blocks[1] = allocator_take(a, 44 * MIB, 0);
	blocks[2] = allocator_take(a, 50 * MIB, 0);
	for (int i = 0; i < 3; i++)
		allocator_give(a, blocks[i]);
	/* 50 and 44 are enough for 90; 42 stays. */
	CHECK(allocator_take(a, 90 * MIB, 0) >= 0);
	CHECK(allocator_reserved(a) == 132 * MIB);
	allocator_free(a);
}

TEST("above garbage_collection_threshold what lay idle as long as the average goes "
     "back before "
     "the device is asked; without a memory fraction nothing does")
{
	struct rules rules = plain();

	rules.collect = 0.5;
	for (int with = 0; with < 2; with++) {
		struct allocator *a;
		int32_t old, young;
		rules.allowed = with ? 100 * MIB : 0;
		a = allocator_new(&rules, 200 * MIB);
		old = allocator_take(a, 30 * MIB, 0);
		young = allocator_take(a, 32 * MIB, 0);
		allocator_give(a, old);
		CHECK(allocator_take(a, 40 * MIB, 0) >= 0);
		CHECK(allocator_reserved(a) == (with ? 72 : 102) * MIB);
		allocator_give(a, young);
		CHECK(allocator_gives(a, 50 * MIB, 0) ==
		      (with ? GIVES_AGED : GIVES_NOTHING));
		allocator_free(a);
	}
}

TEST("an expandable segment grows by pages and takes what holes do not")
{
	struct rules rules = plain();
	struct allocator *a;
	int32_t block[3];

	rules.expandable = true;
	a = allocator_new(&rules, 100 * MIB);
	for (int i = 0; i < 3; i++)
		block[i] = allocator_take(a, 30 * MIB, 0);
	CHECK(allocator_reserved(a) == 100 * MIB); /* 90 in pages of 20 */
	allocator_give(a, block[0]);
	allocator_give(a, block[2]);
	/* 30 and 40 free, in two pieces: pages of the first are backed again behind it */
	CHECK(allocator_take(a, 60 * MIB, 0) >= 0);
	CHECK(allocator_reserved(a) <= 100 * MIB);
	allocator_free(a);
}

TEST("addresses that were given back are handed out again, lowest first")
{
	struct allocator *a = new_one(INT64_MAX);
	int32_t first = allocator_take_near(a, 40 * MIB, 0, 1000 * MIB);
	int32_t second = allocator_take(a, 30 * MIB, 0);
	int32_t third = allocator_take(a, 20 * MIB, 0);

	CHECK(allocator_address(a, second) == 1040 * MIB);
	CHECK(allocator_address(a, third) == 1070 * MIB);
	allocator_give(a, first);
	allocator_give(a, second);
	allocator_empty_cache(a);
	CHECK(allocator_address(a, allocator_take(a, 60 * MIB, 0)) == 1000 * MIB);
	CHECK(allocator_address(a, allocator_take(a, 12 * MIB, 0)) == 1090 * MIB);
	/* where it would best lie, if that is free; below all so far; and if it is not */
	CHECK(allocator_address(a, allocator_take_near(a, 14 * MIB, 0, 1200 * MIB)) ==
	      1200 * MIB);
	CHECK(allocator_address(a, allocator_take_near(a, 16 * MIB, 0, 900 * MIB)) ==
	      900 * MIB);
	CHECK(allocator_address(a, allocator_take_near(a, 18 * MIB, 0, 1010 * MIB)) ==
	      916 * MIB);
	allocator_free(a);
}

TEST("sizes that no device has are refused, not added up")
{
	struct allocator *a = new_one(INT64_MAX);

	CHECK(allocator_take(a, (int64_t)1 << 62, 0) >= 0);
	CHECK(allocator_take(a, (int64_t)1 << 62, 0) == -1);
	allocator_free(a);
}

TEST_MAIN
