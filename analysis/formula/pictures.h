/* pictures.h - what a config.json says of an image model of stages. */
#ifndef TIDEMARK_ANALYSIS_PICTURES_H
#define TIDEMARK_ANALYSIS_PICTURES_H

#include "model.h"
#include "reader.h"

/* The family of the shape is known; its sizes are read. */
void config_stages(struct reader *reader, struct shape *shape);
/* The same of CLIP's two towers. */
void config_towers(struct reader *reader, struct shape *shape);

#endif
