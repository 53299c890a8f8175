/* functions.h - the function of a feed-forward part, by the name that a config.json gives it. */
#ifndef TIDEMARK_ANALYSIS_FUNCTIONS_H
#define TIDEMARK_ANALYSIS_FUNCTIONS_H

#include "model.h"
#include "reader.h"

/* What a config's key, or a name in it, says; a name that is not known makes the config wrong. */
enum mlp function_read(struct reader *reader, const char *key, enum mlp otherwise);
enum mlp function_called(struct reader *reader, const char *key, const char *name);
/* The function of the family's layers, or that of their gate. */
void config_function(struct reader *reader, struct shape *shape);

/* Values that stay for the backward, for each that goes in: of the function, with what the matmul
 * that follows it reads; of a feed-forward part, with its gate. */
int function_keeps(enum mlp mlp);
int shape_keeps(const struct shape *shape);

#endif
