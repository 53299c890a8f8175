/* named.c - the models that have a name; models.def.
 * Called from: plan/subject.c, reconcile/given.c. */
#include "model.h"

#include <stdio.h>
#include <string.h>

#include "nearest.h"

struct named {
	const char *name;
	enum family family;
	int64_t layers, hidden, ffn, heads, kv_heads, head_dim, vocab, context;
	int64_t positions, types, patch;
	bool tied;
};

/* clang-format off */
#define ROTARY(n, family, l, d, f, h, k, s, v, c, t) \
	{n, FAMILY_##family, l, d, f, h, k, s, v, c, 0, 0, 0, t},
#define LEARNED(n, family, l, d, h, v, p, t, c) \
	{n, FAMILY_##family, l, d, 4 * (d), h, h, (d) / (h), v, c, p, t, 0, true},
#define PATCHES(n, family, l, d, h, p) \
	{n, FAMILY_##family, l, d, 4 * (d), h, h, (d) / (h), 0, CELLS(p), CELLS(p), 0, \
	 3 * (p) * (p), false},
#define CELLS(patch) (224 / (patch) * (224 / (patch)) + 1)
static const struct named models[] = {
#include "models.def"
};
/* clang-format on */
enum { MODELS = sizeof(models) / sizeof(models[0]) };

const char *model_name(int index)
{
	return index < MODELS ? models[index].name : NULL;
}

static void fill(const struct named *named, struct shape *shape)
{
	*shape = *family_shape(named->family);
	shape->layers = named->layers;
	shape->hidden = named->hidden;
	shape->ffn = named->ffn;
	shape->heads = named->heads;
	shape->kv_heads = named->kv_heads;
	shape->head_dim = named->head_dim;
	shape->vocab = named->vocab;
	shape->context = named->context;
	shape->positions = named->positions;
	shape->types = named->types;
	shape->patch = named->patch;
	shape->tied = named->tied;
	if (shape->head == HEAD_MASKED) { /* encoders are fine-tuned */
		shape->head = HEAD_SEQUENCE;
		shape->classes = 2;
	}
	if (shape->head == HEAD_CLASSES) {
		shape->classes = 1000;
		shape->pixels = 3 * 224 * 224;
	}
	if (shape->parallel)
		shape->rotary = shape->head_dim / 4; /* as all of Pythia's have it */
	else if (!shape->positions)
		shape->rotary = shape->head_dim;
}

/* The three closest names: what begins alike is closer than what is spelled alike. */
static int distance(const char *typed, const char *name)
{
	int common = 0;
	while (typed[common] && typed[common] == name[common])
		common++;
	return word_distance(typed, name) * 2 - common;
}

static void find_nearest(const char *name, char *nearest, size_t size)
{
	bool taken[MODELS] = {false};
	size_t length = 0;

	nearest[0] = 0;
	for (int n = 0; n < 3; n++) {
		int best = -1, least = 0;
		for (int i = 0; i < MODELS; i++) {
			int d = distance(name, models[i].name);
			if (!taken[i] && (best < 0 || d < least))
				best = i, least = d;
		}
		if (best < 0 || least > (int)strlen(name))
			return;
		taken[best] = true;
		if (length < size)
			length += (size_t)snprintf(nearest + length, size - length,
			                           "%s%s", n ? ", " : "",
			                           models[best].name);
	}
}

bool model_find(const char *name, struct shape *shape, char *nearest, size_t size)
{
	char small[64];
	size_t length = 0;

	for (; name[length] && length < sizeof(small) - 1; length++) {
		char c = name[length];
		small[length] = c >= 'A' && c <= 'Z'   ? (char)(c + 32)
		                : c == '_' || c == ' ' ? '-'
		                                       : c;
	}
	small[length] = 0;
	for (int i = 0; i < MODELS; i++) {
		if (strcmp(small, models[i].name) != 0)
			continue;
		fill(&models[i], shape);
		return true;
	}
	find_nearest(small, nearest, size);
	return false;
}
