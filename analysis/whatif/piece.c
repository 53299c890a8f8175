/* piece.c - what kind of piece of memory it is.
 * Called from: advice/, whatif/. */
#include "piece.h"

#include "trace.h"

bool piece_computed(const struct piece *piece)
{
	return piece->bucket == BUCKET_ACTIVATION || piece->bucket == BUCKET_INPUT ||
	       piece->bucket == BUCKET_TEMPORARY;
}

bool piece_scales(const struct piece *piece)
{
	bool computes = piece->phase == PHASE_DATA || piece->phase == PHASE_FORWARD ||
	                piece->phase == PHASE_BACKWARD ||
	                piece->phase == PHASE_RECOMPUTE || piece->phase == PHASE_EVAL;

	return computes && piece_computed(piece);
}

int64_t piece_asked(const struct piece *piece)
{
	return piece->requested > 0 ? piece->requested : piece->bytes;
}
