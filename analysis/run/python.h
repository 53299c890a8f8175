/* python.h - a Python and its torch, without importing torch. */
#ifndef TIDEMARK_ANALYSIS_PYTHON_H
#define TIDEMARK_ANALYSIS_PYTHON_H

#include "json.h"

#include <stdbool.h>

struct python {
	char *path, *version; /* as it says itself; "" where it said nothing */
	int major, minor;     /* major 0: it did not answer like a Python */
	bool free_threaded;
	char *torch;                /* torch's folder, "" where there is none */
	char *torch_version, *cuda; /* NULL where torch/version.py has none */
	char *compile_lacks; /* what keeps torch.compile from building kernels; "" */
};

/* Starts the program and asks. false: it could not be started. */
bool python_ask(const char *program, struct python *python);
void python_free(struct python *python);

/* The Python that a command will start: its first word, the interpreter of a script, a
 * later word, or else python3. The caller's text, or NULL where there is none. */
char *python_of(const char *program, char **words);

/* 12 of "12.4"; 0 of a torch that was built without CUDA. */
int python_cuda_major(const struct python *python);

/* The head of an answer about it: who says so, which Python, which PyTorch. */
void python_json(const struct python *python, struct json *json);

#endif
