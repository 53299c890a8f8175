/* node.c - see node.h. Called from: wrap_autograd.c, stacks.c. */
#include "node.h"

#include <stdatomic.h>
#include <string.h>

#include "emit.h"
#include "hot.h"
#include "intern.h"
#include "op.h"
#include "real.h"

/* Which module made a node? Torch numbers nodes by thread: one is known by its thread and its
 * number. A slot holds the last node that fell into it, in one word, so that no reader sees a
 * half of it: 40 bits that tell the node, its thread and the generation of the process (a
 * child's modules are not its parent's), and the number of the module. */
enum { REMEMBERED = 1 << 18, MODULE_BITS = 24 };
static _Atomic uint64_t remembered[REMEMBERED];
enum { THREAD_BEHIND = 24 }; /* bytes from a node's number to its thread's */

/* Where a node keeps its number moved once (24 up to 2.11, 16 from 2.13), and with it the id
 * of the thread that made it: read off an AccumulateGrad just made, whose number is all
 * ones. -1: there is no telling. */
static TMK_HOT_DATA atomic_int number_at, thread_at;
/* Nodes were made on more than one thread: without their threads they are all strangers. */
static TMK_HOT_DATA _Atomic uint64_t maker;
static TMK_HOT_DATA atomic_bool makers;

static inline uint64_t tag_of(uint64_t thread, uint64_t number)
{
	uint32_t g = atomic_load_explicit(&tmk_generation, memory_order_relaxed);
	return tmk_mix(tmk_mix(number, thread), g) >> MODULE_BITS << MODULE_BITS;
}

/* Threads lie apart, and a thread's nodes one after the other. */
static inline _Atomic uint64_t *slot_of(uint64_t thread, uint64_t number)
{
	return &remembered[(number + thread * 0x9e3779b1u) % REMEMBERED];
}

static TMK_COLD uint64_t ask_thread(struct tmk_doing *p)
{
	/* Torch's own number for the thread, which it gives out once. */
	p->torch_thread = tmk_real.torch_thread ? tmk_real.torch_thread() : 1;
	uint64_t none = 0;
	if (!atomic_compare_exchange_strong(&maker, &none, p->torch_thread) &&
	    none != p->torch_thread)
		atomic_store(&makers, true);
	return p->torch_thread;
}

TMK_HOT void tmk_node_made(struct tmk_doing *p, uint64_t number, uint64_t module)
{
	uint64_t thread = p->torch_thread ? p->torch_thread : ask_thread(p);
	if (module >> MODULE_BITS)
		module = 0;
	atomic_store_explicit(slot_of(thread, number), tag_of(thread, number) | module,
	                      memory_order_relaxed);
}

/* The module that made this node; 0 where nobody knows. */
static uint32_t maker_of(const char *node, uint64_t number)
{
	int at = atomic_load_explicit(&thread_at, memory_order_relaxed);
	uint64_t thread = atomic_load_explicit(&maker, memory_order_relaxed);
	if (at > 0)
		thread = *(const uint64_t *)(node + at);
	else if (atomic_load_explicit(&makers, memory_order_relaxed))
		return 0;
	uint64_t word =
	        atomic_load_explicit(slot_of(thread, number), memory_order_relaxed);
	if ((word ^ tag_of(thread, number)) >> MODULE_BITS)
		return 0;
	return (uint32_t)(word & ((1u << MODULE_BITS) - 1));
}

/* Most nodes allocate nothing: what a node is is found out when one does. */
TMK_HOT void tmk_node_name(struct tmk_doing *p)
{
	const char *node = p->node;
	int at = atomic_load_explicit(&number_at, memory_order_relaxed);
	uint64_t n = UINT64_MAX;
	p->node = NULL;
	if (at)
		n = *(const uint64_t *)(node + at);
	/* An AccumulateGrad has no number: it works for its producer's module. */
	if (n != UINT64_MAX)
		p->node_module = maker_of(node, n);
	p->node_op = tmk_op_number(*(const void *const *)node);
}

/* uint64_t sequence_nr_, topological_nr_ (0 or 1 of a leaf), bool has_parent_, uint64_t
 * thread_id_: the last is looked for behind the number, where alone this thread's stands. */
static TMK_COLD void find_fields(const char *node)
{
	uint64_t word, thread = tmk_real.torch_thread ? tmk_real.torch_thread() : 0;
	for (int at = 16; at <= 40; at += 8) {
		memcpy(&word, node + at, sizeof(word));
		if (word != UINT64_MAX)
			continue;
		memcpy(&word, node + at + THREAD_BEHIND, sizeof(word));
		atomic_store(&thread_at,
		             thread && word == thread ? at + THREAD_BEHIND : -1);
		atomic_store(&number_at, at);
		return;
	}
}

TMK_HOT void tmk_node_of_leaf(const char *node)
{
	if (__builtin_expect(!atomic_load_explicit(&number_at, memory_order_relaxed),
	                     0))
		find_fields(node);
}
