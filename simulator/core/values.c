/* values.c - plausible values for what the host reads, so that loops go on: no kernel of
 * a simulated device writes anything. Reads are counted; those that decide how much is
 * allocated are logged with their kernel, because memory figures then rest on them.
 * Called from: copy.c, cudart/image.c. */
#include "values.h"
#include "config.h"
#include "known.h"
#include "log.h"
#include "origin.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static _Atomic unsigned long reads, sizes;
static _Thread_local struct {
	enum tmksim_trait trait;
	const char *kernel;
	const void *counted; /* what TMKSIM_NONZERO looks at */
	int elements;        /* and how many */
} last;

enum { EXPECTED = 16 };
static _Thread_local struct {
	int64_t numbers[EXPECTED];
	int count, next;
	bool none; /* the program asks for a count of values that nobody knows */
} expected;

/* Counts that the host has been given: a backward counts the mask of its forward once more,
 * on a thread of PyTorch's own, and must find as many. A slot has a check above and the count
 * below, so that threads need no lock; a mask that falls into another's slot replaces it. */
enum { COUNTS = 1 << 16 };
static _Atomic uint64_t counts[COUNTS];

enum tmksim_trait tmksim_classify(const char *kernel)
{
	/* in order: the first part found decides */
	static const struct {
		const char *part;
		enum tmksim_trait trait;
	} parts[] = {
	        {"NonZeroOp", TMKSIM_NONZERO},
	        {"MaxNanFunctorIlE", TMKSIM_MOST},
	        {"spin_kernel", TMKSIM_SPIN}, /* torch.cuda._sleep */
	        {"and_kernel", TMKSIM_TRUE},
	        {"MulFunctorIb", TMKSIM_TRUE}, /* isfinite: x == x and |x| != inf */
	        {"or_kernel", TMKSIM_ORDINARY},
	        {"on_finite", TMKSIM_ORDINARY}, /* GradScaler's check */
	        {"DeviceUniqueByKey", TMKSIM_EXTENT},
	        {"DeviceSelect", TMKSIM_EXTENT},
	        {"RunLengthEncode", TMKSIM_EXTENT},
	        {"ReduceOpIf", TMKSIM_FLOAT},
	        {"ReduceOpId", TMKSIM_FLOAT},
	        {"ReduceOpIN3c10", TMKSIM_FLOAT}, /* half, bfloat16 */
	        {"nll_loss", TMKSIM_FLOAT},
	        {"lpnorm", TMKSIM_FLOAT},
	        {"FunctorIf", TMKSIM_FLOAT}, /* element by element, in float */
	};
	for (unsigned i = 0; kernel && i < sizeof(parts) / sizeof(*parts); i++)
		if (strstr(kernel, parts[i].part))
			return parts[i].trait;
	return TMKSIM_ORDINARY;
}

void tmksim_launched(enum tmksim_trait trait, const char *kernel, void **arguments)
{
	/* a reduction in two passes: the second one has the first one's partial sums */
	if (last.trait == TMKSIM_NONZERO && trait != TMKSIM_NONZERO &&
	    strstr(kernel ? kernel : "", "DeviceReduce"))
		return;
	last.trait = trait;
	last.kernel = kernel;
	/* CUB's reductions: input (an iterator that begins with the address), output, number
	 * of items */
	if (trait == TMKSIM_NONZERO && arguments) {
		last.counted = *(const void **)arguments[0];
		last.elements = *(const int *)arguments[2];
	}
}

/* The slot of a mask, and the check that says that it is this one's. Without an address: of
 * the last one that was as long. */
static _Atomic uint64_t *slot_of(const void *address, int elements, uint64_t *check)
{
	uint64_t hash = (uintptr_t)address * 0x9e3779b97f4a7c15 ^
	                ((uint64_t)elements + 1) * 0xc2b2ae3d27d4eb4f;
	hash ^= hash >> 29;
	hash *= 0xbf58476d1ce4e5b9;
	*check = hash >> 32 | 1; /* never 0, which is an empty slot */
	return &counts[hash % COUNTS];
}

static bool recall(const void *address, int64_t *count)
{
	uint64_t check, found = *slot_of(address, last.elements, &check);
	*count = (int64_t)(found & 0xffffffff);
	return found >> 32 == check;
}

/* The host has been given this count, of the mask that the thread's last kernel looked at. */
static void remember(const void *number, size_t bytes)
{
	int64_t count = 0;
	if (last.trait != TMKSIM_NONZERO || (bytes != 4 && bytes != 8))
		return;
	last.trait = TMKSIM_ORDINARY; /* used: the next read is another value */
	memcpy(&count, number, bytes);
	if (count < 0 || count > last.elements)
		return;
	const void *places[] = {last.counted, NULL};
	for (int i = 0; i < 2; i++) {
		uint64_t check;
		_Atomic uint64_t *slot = slot_of(places[i], last.elements, &check);
		*slot = check << 32 | (uint64_t)count;
	}
}

/* A mask that is not contiguous is copied each time that it is counted, elsewhere. */
static bool store_remembered(void *to, size_t bytes)
{
	int64_t count;
	if (last.trait != TMKSIM_NONZERO || expected.none ||
	    (bytes != 4 && bytes != 8) ||
	    (!recall(last.counted, &count) && !recall(NULL, &count)))
		return false;
	memcpy(to, &count, bytes);
	return true;
}

void tmksim_value_written(void)
{
	last.trait = TMKSIM_UNCLASSIFIED;
}

void tmksim_expect(const int64_t *numbers, int count)
{
	expected.next = 0;
	expected.none = count < 0;
	expected.count = count < 0 ? 0 : count < EXPECTED ? count : EXPECTED;
	for (int i = 0; i < expected.count; i++)
		expected.numbers[i] = numbers[i];
}

static bool store_expected(void *to, size_t bytes)
{
	if (expected.next == expected.count || (bytes != 4 && bytes != 8))
		return false;
	memcpy(to, &expected.numbers[expected.next++], bytes);
	return true;
}

static double density(void)
{
	return (double)tmksim_number(TMKSIM_DENSITY) / 100;
}

/* A number as the type that its size suggests. */
static void store(void *to, size_t bytes, double value, bool is_float)
{
	const uint32_t as_float = value ? 0x3f800000 : 0; /* only 1 and 0 occur */
	memset(to, 0, bytes);
	if (!is_float) {
		int64_t whole = (int64_t)value;
		memcpy(to, &whole, bytes);
	} else if (bytes == 8) {
		memcpy(to, &value, 8);
	} else if (bytes == 4) {
		memcpy(to, &as_float, 4);
	} else if (bytes == 2) {
		/* bfloat16 is the upper half of a float; as a half this is 1.875 */
		memcpy(to, (const char *)&as_float + 2, 2);
	}
}

static void store_plausible(void *to, size_t bytes)
{
	switch (last.trait) {
	case TMKSIM_TRUE:
		store(to, bytes, bytes == 1, false);
		break;
	case TMKSIM_FLOAT:
		store(to, bytes, 1, true);
		break;
	case TMKSIM_NONZERO:
		store(to, bytes, last.elements * density(), false);
		break;
	case TMKSIM_EXTENT: /* what is there has one value at least */
		store(to, bytes, 1, false);
		break;
	case TMKSIM_MOST: /* peers gave what this one gave: they are all equal */
		store(to, bytes, (double)tmksim_just_delivered(), false);
		break;
	default:
		store(to, bytes, 0, false);
	}
}

/* Where the size is used is worth a walk through the stack for the first ones alone. */
static void log_size(size_t bytes)
{
	enum { WALKED = 32 };
	char origin[300] = "an operator";
	if (sizes++ < WALKED && *tmksim_text(TMKSIM_LOG))
		tmksim_origin(origin, sizeof(origin));
	tmksim_log("size from a value: %zu bytes, %s, %s, after %.200s", bytes,
	           last.trait == TMKSIM_NONZERO ? "density" : "unknown", origin,
	           last.kernel);
}

void tmksim_value_read(void *to, const void *from, size_t bytes)
{
	if (store_expected(to, bytes) || store_remembered(to, bytes)) {
		remember(to, bytes);
		return;
	}
	if (last.trait == TMKSIM_UNCLASSIFIED || (bytes & (bytes - 1)) || bytes > 8 ||
	    (last.trait == TMKSIM_ORDINARY && tmksim_delivered(from, bytes)))
		return;
	reads++;
	if (last.trait == TMKSIM_NONZERO || last.trait == TMKSIM_EXTENT)
		log_size(bytes);
	switch (tmksim_text(TMKSIM_VALUES)[0]) {
	case 'p':
		store_plausible(to, bytes);
		break;
	case 'z':
		memset(to, 0, bytes);
		break;
	case 'n': /* all bits set is NaN in every floating type, and true */
		if (last.trait == TMKSIM_FLOAT)
			memset(to, 0xff, bytes);
		else
			store_plausible(to, bytes);
		break;
	default: /* memory: what lies there */
		break;
	}
	remember(to, bytes);
}

__attribute__((destructor)) static void log_reads(void)
{
	if (reads)
		tmksim_log("values read by the host: %lu, of which sizes: %lu", reads,
		           sizes);
}
