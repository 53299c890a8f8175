/* whole.c - the model and the training that a walk goes through: of shards, the model that they are
 * of.
 * Called from: claims.c, plan/traced.c, reconcile/verdict.c. */
#include <string.h>

#include "recognise.h"

bool recognised_whole(const struct recognised *recognised, struct model *model,
                      struct training *training)
{
	const struct model *own = &recognised->model;

	memset(model, 0, sizeof(*model));
	*training = recognised->training;
	if (!own->known || own->quantised)
		return false;
	if (recognised->sharded) {
		training->zero = 3;
		training->world = recognised->world;
		training->autocast = training->activation != training->parameter;
		return !model_from_shape(model, &own->shape);
	}
	model->known = true;
	model->shape = own->shape;
	for (size_t i = 0; i < own->count; i++)
		if (model_add(model, own->weights[i]))
			return false;
	return true;
}
