/* live.c - the look-up of the block around an address: ns of the thread's own CPU time, by
 * how many blocks live. Blocks lie side by side or apart, on 8 devices or 32, which share
 * no address or all of them. `birth` is one death and one birth, of a block that is
 * anywhere; between two look-ups of the last column lies one of them.
 *
 * usage: bench_live [DEVICES] */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "live.h"

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static uint64_t chance(void)
{
	static uint64_t x = 88172645463325252u;
	x ^= x << 13;
	x ^= x >> 7;
	return x ^= x << 17;
}

struct layout {
	const char *name;
	uint64_t apart, bytes;
	bool shared; /* the devices count from the same address */
};

struct blocks {
	struct tmk_live_table table;
	const struct layout *layout;
	uint32_t count, devices;
	uint8_t *device; /* of each: as an allocator's segments come, not in turns */
};

static uint64_t address(const struct blocks *b, uint32_t i)
{
	uint64_t at = b->layout->shared ? i / b->devices : i;
	return 0x7f0000000000 + at * b->layout->apart;
}

static void birth(struct blocks *b, uint32_t i)
{
	bool existed;
	struct tmk_live *l =
	        tmk_live_add(&b->table, b->device[i], address(b, i), &existed);
	if (!l || existed)
		abort();
	l->bytes = (int64_t)b->layout->bytes;
}

static void churn(struct blocks *b)
{
	uint32_t i = (uint32_t)(chance() % b->count);
	tmk_live_remove(&b->table,
	                tmk_live_find(&b->table, b->device[i], address(b, i)));
	birth(b, i);
}

enum { ROUNDS = 1000000 };
enum what { FIRST, INSIDE, BESIDE };
static uint64_t ask[ROUNDS];

static void choose(const struct blocks *b, enum what what)
{
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t bytes = b->layout->bytes;
		uint64_t off = what == FIRST    ? 0
		               : what == INSIDE ? 1 + chance() % (bytes - 1)
		                                : bytes;
		ask[i] = address(b, (uint32_t)(chance() % b->count)) + off;
	}
}

static void look(struct blocks *b, int i, enum what what)
{
	if ((what == BESIDE) != !tmk_live_around(&b->table, ask[i]))
		abort();
}

static void measure(struct blocks *b)
{
	double begin, ns[5] = {0};
	for (int i = 0; i < ROUNDS / 4; i++)
		churn(b);
	for (int what = FIRST; what <= BESIDE; what++) {
		if (what == BESIDE && b->layout->apart == b->layout->bytes)
			continue;
		choose(b, (enum what)what);
		begin = now();
		for (int i = 0; i < ROUNDS; i++)
			look(b, i, (enum what)what);
		ns[what] = now() - begin;
	}
	choose(b, INSIDE);
	begin = now();
	for (int i = 0; i < ROUNDS; i++)
		churn(b);
	ns[3] = now() - begin;
	begin = now();
	for (int i = 0; i < ROUNDS; i++) {
		churn(b);
		look(b, i, INSIDE);
	}
	ns[4] = now() - begin - ns[3];
	printf("%-22s %8u %8.0f %8.0f %8.0f %8.0f %8.0f\n", b->layout->name, b->count,
	       ns[0] / ROUNDS, ns[1] / ROUNDS, ns[2] / ROUNDS, ns[3] / ROUNDS,
	       ns[4] / ROUNDS);
}

int main(int argc, char **argv)
{
	static const struct layout layouts[] = {
	        {"512 bytes, adjoining", 512, 512, false},
	        {"2 MiB, apart", 4 << 20, 2 << 20, false},
	        {"512 bytes, overlapping", 512, 512, true},
	};
	uint32_t devices = argc > 1 ? (uint32_t)atoi(argv[1]) : 8;
	if (!devices || devices > TMK_ORDER_WIDE)
		return 2;
	printf("%u devices %20s %8s %8s %8s %8s %8s\n", devices, "blocks", "first",
	       "inside", "beside", "birth", "between");
	for (size_t k = 0; k < sizeof(layouts) / sizeof(*layouts); k++)
		for (uint32_t n = 10000; n <= 1000000; n *= 10) {
			struct blocks b = {.layout = &layouts[k],
			                   .count = n,
			                   .devices = devices,
			                   .device = malloc(n)};
			for (uint32_t i = 0; b.device && i < n; i++) {
				b.device[i] =
				        (uint8_t)(b.layout->shared ? i % devices
				                  : i % 64 || !i   ? b.device[i - !!i]
				                                 : chance() % devices);
				if (!i && !b.layout->shared)
					b.device[0] = 0;
				birth(&b, i);
			}
			measure(&b);
			tmk_live_free(&b.table);
			free(b.device);
		}
	return 0;
}
