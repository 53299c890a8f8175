/* config.h - the shape of a model from a Hugging Face config.json. */
#ifndef TIDEMARK_ANALYSIS_CONFIG_H
#define TIDEMARK_ANALYSIS_CONFIG_H

#include "model.h"

/* From a file, which may be anything at all, or from its text. 0, or -1 with one sentence in
 * why, or CONFIG_FOREIGN with that: of a kind, left in kind, that is not understood, or with a field
 * that is not; transformers may know it. name is what messages call it. */
enum { CONFIG_FOREIGN = 1 };
int config_load(const char *path, struct shape *shape, char *kind, size_t kind_size,
                char *why, size_t size);
int config_parse(const char *name, const char *text, struct shape *shape, char *kind,
                 size_t kind_size, char *why, size_t size);

/* The kinds of model that are understood, separated by commas. */
const char *config_kinds(void);

#endif
