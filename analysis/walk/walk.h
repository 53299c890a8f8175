/* walk.h - the peak of training over time: a step is gone through tensor by tensor, as PyTorch
 * runs it, and the most that stands at once is the answer. */
#ifndef TIDEMARK_ANALYSIS_WALK_H
#define TIDEMARK_ANALYSIS_WALK_H

#include "formula.h"
#include "tape.h"

struct walk {
	struct tape_totals first, later; /* step 1, and a step that has states */
	int64_t workspace;               /* bytes of cuBLAS' workspaces, in both */
};

/* false: the walk does not know this architecture, or a part of this training; the sum of
 * formula.h is all there is then. allocator: with reserved bytes, which takes longer. */
bool walk_training(const struct model *model, const struct training *training,
                   bool allocator, struct walk *walk);

#endif
