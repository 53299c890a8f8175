/* nvrtc.c - run-time compilation: every program compiles to an empty image, which the
 * simulated driver loads like any other. */
#include "entry.h"

#include <stddef.h>

enum { OUT_OF_MEMORY = 1 };

int nvrtcVersion(int *major, int *minor)
{
	*major = TMKSIM_MAJOR;
	*minor = TMKSIM_MAJOR < 13 ? 8 : 0;
	return 0;
}

int nvrtcGetNumSupportedArchs(int *count)
{
	*count = 1;
	return 0;
}

int nvrtcGetSupportedArchs(int *architectures)
{
	*architectures = 80;
	return 0;
}

int nvrtcCreateProgram(struct tmksim_handle **program)
{
	/* five more arguments: source, name, headers */
	*program = tmksim_handle_create();
	return *program ? 0 : OUT_OF_MEMORY;
}

int nvrtcDestroyProgram(struct tmksim_handle **program)
{
	tmksim_handle_destroy(*program);
	*program = NULL;
	return 0;
}

int nvrtcCompileProgram(void *program, int count, const char *const *options)
{
	(void)program, (void)count, (void)options;
	return 0;
}

int nvrtcAddNameExpression(void *program, const char *name)
{
	(void)program, (void)name;
	return 0;
}

int nvrtcGetLoweredName(void *program, const char *name, const char **lowered)
{
	(void)program, (void)name;
	*lowered = "kernel"; /* any name finds a kernel */
	return 0;
}

static int empty_size(size_t *bytes)
{
	*bytes = 1;
	return 0;
}

static int empty_text(char *text)
{
	*text = '\0';
	return 0;
}

int nvrtcGetPTXSize(void *program, size_t *bytes)
{
	(void)program;
	return empty_size(bytes);
}

int nvrtcGetPTX(void *program, char *text)
{
	(void)program;
	return empty_text(text);
}

int nvrtcGetCUBINSize(void *program, size_t *bytes)
{
	(void)program;
	return empty_size(bytes);
}

int nvrtcGetCUBIN(void *program, char *text)
{
	(void)program;
	return empty_text(text);
}

int nvrtcGetProgramLogSize(void *program, size_t *bytes)
{
	(void)program;
	return empty_size(bytes);
}

int nvrtcGetProgramLog(void *program, char *text)
{
	(void)program;
	return empty_text(text);
}
