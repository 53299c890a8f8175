/* walk.c - calls every interposed row of hooks.def as a library linked to it would, and
 * holds that it reaches that library's own function with all that it was given, or, where
 * there is none, comes back with an answer.
 *
 * usage: walk_rows COPY CALLER [close] [COPY CALLER]...
 * COPY: which copy the caller's calls must reach; 0: there is none. Callers given later are
 * loaded when the earlier ones have been called, and then all are called again. */
#include "rows.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct seen walk_seen;

static const struct line {
	const char *symbol, *library, *result, *arguments;
} rows[] = {
#define HOOK(field, library, need, result, arguments, symbol)                          \
	[ROW_##symbol] = {#symbol, #library, #result, #arguments},
#define HOOK_TOO HOOK
#define REAL(field, library, need, result, arguments, symbol)
#define REAL_TOO REAL
#include "hooks.def"
};

struct caller {
	int copy;
	void *handle;
	void **rows;
	void (*call)(void *, struct registers *);
};

/* Memory that any of the functions may take for one of its arguments. */
static uint64_t ground[6][512];

static int ends(const char *symbol)
{
	return strstr(symbol, "throw") != NULL;
}

/* The C library's own, which no library here stands for. */
static int libcs(const struct line *row)
{
	return !strcmp(row->library, "LIBC");
}

static int fail(const struct line *row, const char *why)
{
	fprintf(stderr, "%s: %s\n", row->symbol, why);
	return 1;
}

/* What comes back where there is nothing behind the wrapper. */
static int check_absent(const struct line *row, const struct registers *r)
{
	const uint64_t *vector = (const uint64_t *)r->integer[0];
	uint64_t got = r->result[0];
	if (strstr(row->symbol, "memoryProfilingEnabled"))
		return 0; /* yes, where CPU tensors are traced */
	if (!strcmp(row->result, "bool"))
		return got & 0xff ? fail(row, "is true") : 0;
	if (!strcmp(row->result, "tmk_cuda_error"))
		return (uint32_t)got == 0 ? fail(row, "succeeded") : 0;
	if (!strcmp(row->result, "struct tmk_vector"))
		return got != r->integer[0] || vector[0] || vector[1] || vector[2]
		               ? fail(row, "made no empty vector")
		               : 0;
	if (strcmp(row->result, "void") != 0)
		return got ? fail(row, "is not 0") : 0;
	return 0;
}

/* The arguments that have a register of their own; a struct of two words has two, a bigger one
 * lies on the stack. Of a narrow one the register's upper part is nobody's. */
static int same_arguments(const struct line *row, const struct registers *r)
{
	const struct registers *seen = &walk_seen.registers;
	char text[512];
	int at = strcmp(row->result, "struct tmk_vector") ? 0 : 1, stack = 0;
	snprintf(text, sizeof(text), "%s", row->arguments + 1);
	for (char *p = strtok(text, ",)"); p && at < 6; p = strtok(NULL, ",)")) {
		uint64_t mask =
		        strchr(p, '*') || strstr(p, "64") || strstr(p, "size_t") ||
		                        strstr(p, "long long") || strstr(p, "handle")
		                ? UINT64_MAX
		        : strstr(p, "8") || strstr(p, "bool")       ? 0xff
		        : strstr(p, "16") || strstr(p, "device_id") ? 0xffff
		                                                    : UINT32_MAX;
		int words = strstr(p, "tmk_sizes") ? 2 : 1;
		if (!strcmp(p, "void") && at == 0)
			break;
		if (strstr(p, "source_location")) {
			for (; stack < 2; stack++)
				if (seen->stack[stack] != r->stack[stack])
					return 0;
			continue;
		}
		if (strstr(p, "extent"))
			continue; /* on the stack, and read by the wrapper */
		if (words == 2)
			mask = UINT64_MAX;
		for (; words-- && at < 6; at++)
			if ((seen->integer[at] ^ r->integer[at]) & mask)
				return 0;
	}
	return 1;
}

static int check_reached(int index, const struct caller *c, const struct registers *r)
{
	const struct line *row = &rows[index];
	if (!walk_seen.calls)
		return fail(row, "the real one was not called");
	if (walk_seen.copy != (uint64_t)c->copy)
		return fail(row, "another copy was called");
	if (strcmp(rows[walk_seen.row].symbol, row->symbol) != 0 &&
	    strncmp(rows[walk_seen.row].symbol, row->symbol, 12) != 0)
		return fail(row, rows[walk_seen.row].symbol);
	if (!same_arguments(row, r))
		return fail(row, "an argument is another one");
	if (strcmp(row->result, "void") != 0 && strcmp(row->result, "bool") != 0 &&
	    (r->result[0] & 0xff) != (walk_seen.returns & 0xff))
		return fail(row, "the result is another one");
	return 0;
}

static void call_row(int index, const struct caller *c, uint64_t returns)
{
	struct registers r;
	memset(ground, 0, sizeof(ground));
	memset(&walk_seen, 0, sizeof(walk_seen));
	for (int i = 0; i < 6; i++)
		r.integer[i] = (uintptr_t)ground[i];
	for (int i = 0; i < 8; i++)
		r.vector[i] = 1.5 + i;
	for (int i = 0; i < 4; i++)
		r.stack[i] = 100 + (uint64_t)i;
	walk_seen.returns = ends(rows[index].symbol)            ? UINT64_MAX
	                    : strstr(rows[index].symbol, "Vec") ? 0
	                                                        : returns;
	c->call(c->rows[index], &r);
	if (libcs(&rows[index])) /* of those that return: a signal that there is not */
		exit((int)r.result[0] == -1 && errno == EINVAL
		             ? 0
		             : fail(&rows[index], "the C library was not asked"));
	exit(c->copy ? check_reached(index, c, &r) : check_absent(&rows[index], &r));
}

static int walk(const struct caller *c)
{
	int failed = 0;
	for (int i = 0; i < ROW_COUNT; i++) {
		const struct line *row = &rows[i];
		int status, want = 0;
		pid_t child = fork();
		if (!child)
			call_row(i, c,
			         strcmp(row->result, "tmk_cuda_error")
			                 ? (uintptr_t)ground[5]
			                 : 7);
		waitpid(child, &status, 0);
		if (libcs(row) && !strcmp(row->result, "void"))
			want = (int)((uintptr_t)ground[0] & 0xff);
		else if (ends(row->symbol))
			want = c->copy ? 44 : 127;
		if (!WIFEXITED(status) || WEXITSTATUS(status) != want) {
			fprintf(stderr, "%s: status %x, expected %d\n", row->symbol,
			        (unsigned)status, want);
			failed++;
		}
	}
	return failed;
}

/* In this process, so that later callers find its stubs used: twice each. */
static void use(const struct caller *c)
{
	for (int i = 0; i < 2 * ROW_COUNT; i++) {
		const struct line *row = &rows[i / 2];
		struct registers r = {.vector = {1}};
		if (libcs(row) || ends(row->symbol))
			continue;
		memset(ground, 0, sizeof(ground));
		for (int j = 0; j < 6; j++)
			r.integer[j] = (uintptr_t)ground[j];
		walk_seen.copy = 0;
		walk_seen.returns = strcmp(row->result, "tmk_cuda_error")
		                            ? (uintptr_t)ground[5]
		                            : 7;
		c->call(c->rows[i / 2], &r);
		if (c->copy != (int)walk_seen.copy) {
			fprintf(stderr, "%s: copy %d was called, not %d\n", row->symbol,
			        (int)walk_seen.copy, c->copy);
			exit(1);
		}
	}
}

int main(int argc, char **argv)
{
	struct caller callers[4];
	int count = 0, failed = 0;
	for (int i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "close")) {
			dlclose(callers[--count].handle);
			i++;
		}
		struct caller *c = &callers[count++];
		c->copy = atoi(argv[i]);
		c->handle = dlopen(strcmp(argv[i + 1], "-") ? argv[i + 1] : NULL,
		                   RTLD_LAZY | RTLD_LOCAL);
		if (!c->handle) {
			fprintf(stderr, "%s\n", dlerror());
			return 1;
		}
		c->rows = dlsym(c->handle, "walk_rows");
		*(void **)&c->call = dlsym(c->handle, "walk_call");
		for (int j = 0; j < count; j++)
			failed += walk(&callers[j]);
		for (int j = 0; j < count; j++)
			use(&callers[j]);
		for (int j = 0; j < count; j++)
			failed += walk(&callers[j]);
	}
	return failed != 0;
}
