/* many.h - an answer about several traces, or a folder of them. */
#ifndef TIDEMARK_ANALYSIS_MANY_H
#define TIDEMARK_ANALYSIS_MANY_H

#include "job_answer.h"
#include "options.h"

/* Do the words name more than one trace: several files, or a folder? */
bool many_named(const struct options *options);

/* Answers about the job that they are of. Returns the exit status. */
int many_answer(const struct options *options, enum job_question question);

#endif
