/* states.c - see states.h.
 * Called from: formula.c, reconcile/expect.c. */
#include "states.h"

static int one(struct state_piece *piece, enum state_kind kind, int64_t elements,
               int64_t copies)
{
	*piece = (struct state_piece){
	        .kind = kind, .elements = elements, .copies = copies};
	return 1;
}

static int in_eight_bits(int64_t size, int64_t copies, struct state_piece *piece)
{
	enum { SMALLEST = 4096, BLOCK = 256 };

	if (size < SMALLEST)
		return one(piece, STATE_SMALL, size, copies);
	one(piece, STATE_SCALE, size / BLOCK + (size % BLOCK != 0), copies);
	return 1 + one(piece + 1, STATE_BYTE, size, copies);
}

int states_of(enum optimizer optimizer, const struct weight *weight,
              struct state_piece piece[STATE_PIECES])
{
	int64_t size = weight_size(weight), n = weight->copies;
	int64_t stacked = weight->stacked ? weight->stacked : 1;
	bool hidden = weight->role == ROLE_ATTENTION || weight->role == ROLE_MLP ||
	              weight->role == ROLE_ROUTER || weight->role == ROLE_ANY;

	switch (optimizer) {
	case OPTIMIZER_SGD:
	case OPTIMIZER_COUNT:
		return 0;
	case OPTIMIZER_SGD_MOMENTUM:
	case OPTIMIZER_LION:
		return one(piece, STATE_PLAIN, size, n);
	case OPTIMIZER_ADAM:
	case OPTIMIZER_ADAMW:
		return one(piece, STATE_PLAIN, size, 2 * n);
	case OPTIMIZER_ADAM8BIT:
		return in_eight_bits(size, 2 * n, piece);
	case OPTIMIZER_ADAFACTOR:
		if (!weight->columns)
			return one(piece, STATE_PLAIN, size, n);
		one(piece, STATE_PLAIN, weight->rows * stacked, n);
		return 1 + one(piece + 1, STATE_PLAIN, weight->columns * stacked, n);
	case OPTIMIZER_MUON:
		return one(piece, STATE_PLAIN, size, hidden ? n : 2 * n);
	}
	return 0;
}
