/* buffers.c - what PyTorch's own kernels work in beside what they read and make.
 * Called from: convolutions.c, ops.c, optimizer.c. */
#include "ops.h"

static int64_t up(int64_t a, int64_t b)
{
	return (a + b - 1) / b;
}

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* The largest power of two that is no more than count, and than most. */
static int64_t power(int64_t count, int64_t most)
{
	int64_t two = 1;

	while (two * 2 <= count && two * 2 <= most)
		two *= 2;
	return two;
}

/* What a sum over the rows holds beside its result where several blocks of threads share a column:
 * a partial sum of each of their threads, in fp32. Source: setReduceConfig() and
 * ReduceConfig::global_memory_size() in aten/src/ATen/native/cuda/Reduce.cuh, PyTorch 2.11. */
int64_t ops_sum_buffer(const struct ops *o, int64_t rows, int64_t columns)
{
	int64_t together = columns % 4 == 0 ? 4 : columns % 2 == 0 ? 2 : 1;
	int64_t most = 512 / together, wide = power(columns / together, most);
	int64_t width = least(wide, 32),
	        height = least(power(rows, most), most / width);
	int64_t each, blocks, wanted, shared;

	width = least(wide, most / height);
	each = up(rows, height);
	blocks = up(columns / together, width);
	wanted = o->silicon->multiprocessors * (o->silicon->threads / (width * height));
	if (rows < least(16 * height, 256) || each < 256 || blocks > wanted)
		return 0;
	shared = least(up(wanted, blocks), up(each, 16));
	if (shared < up(each, 256))
		shared = up(each, 256);
	return shared > 1 ? 4 * columns * shared * width * together : 0;
}

/* What embedding_dense_backward holds beside the gradient, of so many numbers and rows of a table.
 * Few numbers are added up one by one; more are sorted, runs of one number are cut into pieces of
 * ten, and each piece is summed up in fp32; a short table's sums are added up in place.
 * Source: aten/src/ATen/native/cuda/Embedding.cu and EmbeddingBackwardKernel.cu, PyTorch 2.11. */
void ops_sort_buffers(const struct ops *o, struct op *op, int64_t numbers, int64_t rows,
                      int64_t over, int width)
{
	enum { FEW = 3072, PIECE = 10, LONG = 8, WIDE = 4, BLOCKS = 4 };
	int64_t runs = least(numbers, rows), pieces = numbers / PIECE + runs;
	int64_t warped = up(over, 32) * 32,
	        blocks = up(runs * warped, least(warped, 1024));

	if (numbers <= FEW)
		return;
	op->before[0] = op->before[1] = LONG * numbers;
	op->after[0] = 3 * LONG * runs;
	op->after[1] = LONG * pieces;
	if (blocks >= BLOCKS * o->silicon->multiprocessors || pieces <= 4 * blocks)
		op->after[2] = WIDE * pieces * over;
	else
		op->after[2] = LONG * pieces + (width < WIDE ? WIDE * rows * over : 0);
}
