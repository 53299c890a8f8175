/* checkpoint.c - what checkpointing a list of layers would give back.
 *
 * Layers are modules whose dotted name ends in a number somewhere: 'h.3.mlp' is of layer
 * 3 of the list 'h'. A checkpointed layer keeps its input, which is the last tensor that
 * the layer before it made; in the backward one layer at a time is whole again.
 * Called from: levers.c. */
#include "checkpoint.h"

#include <stdlib.h>
#include <string.h>

#include "heap.h"

struct layer {
	const char *name; /* of the module; the list is its first `length` characters */
	size_t length;
	int64_t index, bytes;
	int64_t output, output_born; /* its last tensor */
	bool output_own; /* made by the layer itself, not by a module inside it */
};

/* false: the name has no layer in it. */
static bool split(const char *name, struct layer *layer, bool *own)
{
	for (const char *at = name; (at = strchr(at, '.')); at++) {
		size_t digits = strspn(at + 1, "0123456789");
		if (!digits || (at[1 + digits] && at[1 + digits] != '.'))
			continue;
		layer->name = name;
		layer->length = (size_t)(at - name);
		layer->index = strtoll(at + 1, NULL, 10);
		*own = !at[1 + digits];
		return true;
	}
	return false;
}

static bool same_list(const struct layer *a, const struct layer *b)
{
	return a->length == b->length && !strncmp(a->name, b->name, a->length);
}

static void add(struct layer *layer, const struct alive *alive, bool own)
{
	layer->bytes += alive->block.bytes;
	if (own < layer->output_own ||
	    (own == layer->output_own && alive->block.born < layer->output_born))
		return;
	layer->output = alive->block.bytes;
	layer->output_born = alive->block.born;
	layer->output_own = own;
}

static struct layer *collect(const struct places *places,
                             const struct segments *segments, int64_t step,
                             size_t *count)
{
	struct layer *layers = NULL;
	size_t room = 0;

	*count = 0;
	for (size_t i = 0; i < segments->block_count; i++) {
		const struct alive *alive = &segments->blocks[i];
		const struct site *site = places_site(places, alive->site);
		struct layer layer = {0};
		bool own;
		size_t at = 0;
		if (alive->block.born_step != step ||
		    alive->bucket < BUCKET_ACTIVATION ||
		    alive->bucket > BUCKET_TEMPORARY || !site ||
		    site->phase != PHASE_FORWARD || !site->module ||
		    !split(site->module, &layer, &own))
			continue;
		while (at < *count && !(same_list(&layers[at], &layer) &&
		                        layers[at].index == layer.index))
			at++;
		if (at == *count) {
			layers = grow(layers, *count, &room, sizeof(*layers));
			layers[(*count)++] = layer;
		}
		add(&layers[at], alive, own);
	}
	return layers;
}

static struct checkpoint sum_up(const struct layer *layers, size_t count,
                                const struct layer *one)
{
	struct checkpoint sum = {0};
	int64_t most = 0;

	for (size_t i = 0; i < count; i++) {
		const struct layer *layer = &layers[i];
		if (!same_list(layer, one))
			continue;
		sum.layers++;
		sum.bytes += layer->bytes;
		sum.kept += layer->output;
		if (layer->bytes - layer->output > most)
			most = layer->bytes - layer->output;
	}
	sum.saves = sum.layers > 1 ? sum.bytes - sum.kept - most : 0;
	return sum;
}

struct checkpoint checkpoint_best(const struct places *places,
                                  const struct segments *segments, int64_t step)
{
	struct checkpoint best = {0};
	const struct layer *chosen = NULL;
	size_t count;
	struct layer *layers = collect(places, segments, step, &count);

	for (size_t i = 0; i < count; i++) {
		struct checkpoint sum = sum_up(layers, count, &layers[i]);
		if (sum.saves > best.saves) {
			best = sum;
			chosen = &layers[i];
		}
	}
	if (chosen)
		best.list = format_text("%.*s", (int)chosen->length, chosen->name);
	free(layers);
	return best;
}

void checkpoint_free(struct checkpoint *checkpoint)
{
	free(checkpoint->list);
	*checkpoint = (struct checkpoint){0};
}
