/* origin.c - names the operator and the program's line behind a call.
 * The simulator links neither PyTorch nor Python: an operator is known by the exported
 * at::_ops::NAME::call on the native stack, a line by Python's own functions, looked up when
 * first needed. Called where the host reads a size, which is rare.
 * Called from: values.c. */
#include "origin.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FRAMES = 128, NAME = 96 };

/* "_ZN2at4_ops7nonzero4callERK..." is at::_ops::nonzero::call. */
static int copy_operator(const char *symbol, char name[NAME])
{
	static const char head[] = "_ZN2at4_ops";
	if (!symbol || strncmp(symbol, head, sizeof(head) - 1))
		return 0;
	char *start;
	size_t length = strtoul(symbol + sizeof(head) - 1, &start, 10);
	if (!length || length >= NAME || strlen(start) < length)
		return 0;
	memcpy(name, start, length);
	name[length] = 0;
	return 1;
}

/* The outermost operator inside the innermost Python frame: what the program called. */
static void find_operator(char name[NAME])
{
	void *frames[FRAMES];
	int count = backtrace(frames, FRAMES);
	for (int i = 0; i < count; i++) {
		Dl_info info;
		if (!dladdr(frames[i], &info) || !info.dli_sname)
			continue;
		if (!strncmp(info.dli_sname, "_PyEval_", 8))
			return;
		copy_operator(info.dli_sname, name);
	}
}

static struct {
	int (*is_initialized)(void);
	void *(*this_thread)(void);
	int (*ensure)(void);
	void (*release)(int);
	void *(*frame)(void *thread);
	void *(*back)(void *frame);
	void *(*code)(void *frame);
	int (*line)(void *frame);
	void *(*attribute)(void *object, const char *name);
	const char *(*text)(void *object);
	void (*drop)(void *object);
	void (*clear_error)(void);
} python;

static int find_python(void)
{
	const struct {
		void *function;
		const char *name;
	} wanted[] = {
	        {&python.is_initialized, "Py_IsInitialized"},
	        {&python.this_thread, "PyGILState_GetThisThreadState"},
	        {&python.ensure, "PyGILState_Ensure"},
	        {&python.release, "PyGILState_Release"},
	        {&python.frame, "PyThreadState_GetFrame"},
	        {&python.back, "PyFrame_GetBack"},
	        {&python.code, "PyFrame_GetCode"},
	        {&python.line, "PyFrame_GetLineNumber"},
	        {&python.attribute, "PyObject_GetAttrString"},
	        {&python.text, "PyUnicode_AsUTF8"},
	        {&python.drop, "Py_DecRef"},
	        {&python.clear_error, "PyErr_Clear"},
	};
	for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++) {
		void *found =
		        dlsym(RTLD_DEFAULT, wanted[i].name); /* 3.9 has them all */
		if (!found)
			return 0;
		memcpy(wanted[i].function, &found, sizeof(found));
	}
	return 1;
}

/* Writes "FILE:LINE" of a frame unless it is PyTorch's own or ours; true if it did. */
static int write_line(void *frame, char *text, size_t bytes)
{
	int written = 0;
	void *code = python.code(frame);
	void *object = python.attribute(code, "co_filename");
	const char *file = object ? python.text(object) : NULL;
	if (!file)
		python.clear_error();
	else if (!strstr(file, "/torch/") && !strstr(file, "/tidemark_known/") &&
	         *file != '<')
		written = snprintf(text, bytes, "%s:%d", file, python.line(frame)) > 0;
	if (object)
		python.drop(object);
	python.drop(code);
	return written;
}

static void find_line(char *text, size_t bytes)
{
	if (!find_python() || !python.is_initialized() || !python.this_thread())
		return; /* a backward thread has no Python frames */
	int lock = python.ensure();
	void *frame = python.frame(python.this_thread());
	while (frame && !write_line(frame, text, bytes)) {
		void *outer = python.back(frame);
		python.drop(frame);
		frame = outer;
	}
	if (frame)
		python.drop(frame);
	python.release(lock);
}

void tmksim_origin(char *text, size_t bytes)
{
	char name[NAME] = "", line[256] = "";
	find_operator(name);
	find_line(line, sizeof(line));
	snprintf(text, bytes, "%s%s%s", *name ? name : "an operator",
	         *line ? " at " : "", line);
}
