/* doctor.c - `tidemark doctor`: which signals this Python and its torch would give.
 * Python is asked where torch is; torch itself is read as files, never imported.
 * Called from: main.c. */
#include <dlfcn.h>
#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "command.h"
#include "doctor.h"
#include "object.h"
#include "fail.h"
#include "json.h"
#include "launch.h"
#include "library.h"
#include "python.h"
#include "heap.h"
#include "screen.h"
#include "text.h"

struct finding {
	const char *name, *state;
	char *why;
};

/* What a user loses without each. */
static const struct loss {
	const char *name, *without;
} losses[] = {
#define SIGNAL(name, needed, without) {#name, without},
#define PART(name, without)           {#name, without},
#define ALSO(name, without)
#include "signals.def"
#undef SIGNAL
#undef PART
#undef ALSO
};

static const char *lost_without(const char *name)
{
	for (size_t i = 0; i < sizeof(losses) / sizeof(*losses); i++)
		if (!strcmp(losses[i].name, name))
			return losses[i].without;
	return "";
}

struct diagnosis {
	const char *name; /* as it was asked for */
	struct python python;
	struct finding findings[40];
	int count;
	bool cannot; /* something is missing without which nothing is traced */
};

/* One finding; needed and missing decides the answer. */
static void find(struct diagnosis *diagnosis, const char *name, const char *state,
                 bool needed, char *why)
{
	if (diagnosis->count ==
	    (int)(sizeof(diagnosis->findings) / sizeof(struct finding)))
		out_of_memory();
	diagnosis->findings[diagnosis->count++] = (struct finding){name, state, why};
	if (needed && !strcmp(state, "missing"))
		diagnosis->cannot = true;
}

static void look_at_python(struct diagnosis *diagnosis, const char *program)
{
	struct python *python = &diagnosis->python;

	if (!python_ask(program, python))
		fail(STATUS_NO, "cannot start '%s': %s", program, strerror(errno));
	if (!python->major)
		find(diagnosis, "python", "missing", true,
		     format_text("'%s' did not answer like a Python", program));
	else if (python->major != 3 || python->minor < 8 || python->minor > 14)
		find(diagnosis, "python_stacks", "missing", false,
		     format_text("tidemark reads the stacks of Python 3.8 to 3.14, "
		                 "and this is %s",
		                 python->version));
	else if (python->free_threaded)
		find(diagnosis, "python_stacks", "missing", false,
		     copy_text("in a free-threaded Python, no other thread can read "
		               "the stack"));
	else
		find(diagnosis, "python_stacks", "live", false, NULL);
}

/* Every function that the library hooks or calls, and the capability it serves. */
static const struct hook {
	const char *field, *library, *capability, *symbol;
} hooks[] = {
#define HOOK(field, library, need, result, arguments, symbol)                          \
	{#field, #library, #need, #symbol},
#define HOOK_TOO HOOK
#define REAL     HOOK
#define REAL_TOO HOOK
#include "hooks.def"
#undef HOOK
#undef HOOK_TOO
#undef REAL
#undef REAL_TOO
};
enum { HOOKS = sizeof(hooks) / sizeof(*hooks) };

struct torch {
	struct symbols *c10, *cpu; /* NULL where the file is missing */
};

/* A function goes by several names, one a version; any one of them will do. */
static bool has_function(const struct torch *torch, const struct hook *wanted)
{
	for (int i = 0; i < HOOKS; i++) {
		const struct symbols *in = !strcmp(hooks[i].library, "C10") ? torch->c10
		                           : !strcmp(hooks[i].library, "CPU")
		                                   ? torch->cpu
		                                   : NULL;
		if (strcmp(hooks[i].field, wanted->field) != 0)
			continue;
		if (in && symbols_define(in, hooks[i].symbol))
			return true;
		/* The traced program has this machine's libc, as this command has. */
		if (!strcmp(hooks[i].library, "LIBC") &&
		    dlsym(RTLD_DEFAULT, hooks[i].symbol))
			return true;
	}
	return false;
}

static void look_at_signal(struct diagnosis *diagnosis, const struct torch *torch,
                           const char *name, bool needed)
{
	int wanted = 0, found = 0;

	for (int i = 0; i < HOOKS; i++) {
		/* Its other names stand right behind the first. */
		bool again = i && !strcmp(hooks[i].field, hooks[i - 1].field);
		if (again || strcmp(hooks[i].capability, name) != 0)
			continue;
		wanted++;
		found += has_function(torch, &hooks[i]);
	}
	if (found == wanted)
		find(diagnosis, name, "live", false, NULL);
	else
		find(diagnosis, name, found ? "degraded" : "missing", needed,
		     wanted == 1 ? copy_text("its function is not there")
		                 : format_text("%d of its %d functions are there",
		                               found, wanted));
}

static struct symbols *open_library(const char *torch, const char *name)
{
	char *path = format_text("%s/lib/%s", torch, name);
	struct symbols *symbols = symbols_open(path);
	free(path);
	return symbols;
}

static void look_at_torch(struct diagnosis *diagnosis)
{
	struct torch torch;

	if (!*diagnosis->python.torch) {
		find(diagnosis, "torch", "missing", true,
		     format_text(
		             "'%s' has no torch; name another Python: 'tidemark doctor "
		             "PYTHON'",
		             diagnosis->python.path));
		return;
	}
	torch.c10 = open_library(diagnosis->python.torch, "libc10.so");
	torch.cpu = open_library(diagnosis->python.torch, "libtorch_cpu.so");
#define SIGNAL(name, needed, without) look_at_signal(diagnosis, &torch, #name, needed);
#define PART(name, without)
#define ALSO(name, without)
#include "signals.def"
#undef SIGNAL
#undef PART
#undef ALSO
	if (torch.c10)
		symbols_close(torch.c10);
	if (torch.cpu)
		symbols_close(torch.cpu);
}

static void look_at_library(struct diagnosis *diagnosis)
{
	char why[1024];
	char *library = library_find(why, sizeof(why));

	if (library && !library_load(library, why, sizeof(why)))
		find(diagnosis, "library", "live", true, NULL);
	else
		find(diagnosis, "library", "missing", true, copy_text(why));
	free(library);
}

static void look_at_system(struct diagnosis *diagnosis)
{
	struct statfs fs;
	void *unwind = dlopen("libunwind.so.8", RTLD_LAZY | RTLD_LOCAL);

	if (unwind) {
		find(diagnosis, "native_stacks", "live", false, NULL);
		dlclose(unwind);
	} else {
		find(diagnosis, "native_stacks", "missing", false,
		     copy_text("libunwind.so.8 is not installed; install it with "
		               "'apt-get install libunwind8'"));
	}
	if (access(".", W_OK | X_OK))
		find(diagnosis, "folder", "missing", true,
		     format_text("cannot write here: %s; use 'run -o FILE'",
		                 strerror(errno)));
	else if (!statfs(".", &fs) &&
	         (fs.f_type == NFS_SUPER_MAGIC ||
	          (unsigned)fs.f_type == SMB2_SUPER_MAGIC ||
	          (unsigned)fs.f_type == CIFS_SUPER_MAGIC || fs.f_type == 0x0bd00bd0))
		find(diagnosis, "folder", "degraded", false,
		     copy_text("this is a network file system: writing is slower, and "
		               "SQLite has no write-ahead log there"));
	else
		find(diagnosis, "folder", "live", false, NULL);
}

static void print_json(const struct diagnosis *diagnosis, FILE *out)
{
	struct json json;

	json_begin(&json, out);
	python_json(&diagnosis->python, &json);
	json_truth(&json, "can_trace", !diagnosis->cannot);
	json_array(&json, "capabilities");
	for (int i = 0; i < diagnosis->count; i++) {
		const struct finding *finding = &diagnosis->findings[i];
		json_object(&json, NULL);
		json_text(&json, "name", finding->name);
		json_text(&json, "state", finding->state);
		json_text(&json, "why", finding->why ? finding->why : "");
		json_text(&json, "without", lost_without(finding->name));
		json_end(&json);
	}
	json_end(&json);
	json_end(&json);
}

/* Sentences can be long; they go on under where they began. */
static void print_wrapped(FILE *out, const char *text, int left)
{
	int at = left;

	while (*text) {
		int length = (int)strcspn(text, " ");
		if (at > left && at + 1 + length > term.width) {
			fprintf(out, "\n%*s", left, "");
			at = left;
		}
		at += fprintf(out, "%s%.*s", at > left ? " " : "", length, text);
		text += length;
		text += *text == ' ';
	}
}

static void print_finding(FILE *out, const struct finding *finding)
{
	bool live = !strcmp(finding->state, "live");
	const int left = 21 + text_width(sign(CHECK));
	char *why;

	fputs("  ", out);
	text_mark(out, live ? GREEN : RED, sign(live ? CHECK : CROSS));
	fprintf(out, "%-18s", finding->name);
	print_wrapped(out, lost_without(finding->name), left);
	fputc('\n', out);
	if (!finding->why)
		return;
	fprintf(out, "%*s", left, "");
	why = format_text("%s: %s", finding->state, finding->why);
	print_wrapped(out, why, left);
	fputc('\n', out);
	free(why);
}

static void print_screen(const struct diagnosis *diagnosis, FILE *out)
{
	fprintf(out, "%sDOCTOR%s  Python %s %s torch %s", style(BOLD), style(PLAIN),
	        *diagnosis->python.version ? diagnosis->python.version : "?", sign(DOT),
	        diagnosis->python.torch_version ? diagnosis->python.torch_version
	                                        : "not found");
	if (diagnosis->python.torch_version)
		fprintf(out, " %s %s%s", sign(DOT),
		        diagnosis->python.cuda ? "CUDA " : "no CUDA",
		        diagnosis->python.cuda ? diagnosis->python.cuda : "");
	fputs("\n        ", out);
	text_fit(out, diagnosis->python.path, term.width - 8, KEEP_TAIL);
	fputs("\n\n", out);
	fprintf(out, "  %s%*s%-18swhat you lose without it%s\n", style(DIM),
	        text_width(sign(CHECK)) + 1, "", "signal", style(PLAIN));
	for (int i = 0; i < diagnosis->count; i++)
		print_finding(out, &diagnosis->findings[i]);
	fprintf(out, "\n  %s%s%s\n", style(BOLD),
	        diagnosis->cannot ? "runs of this Python cannot be traced"
	                          : "runs of this Python can be traced",
	        style(PLAIN));
	if (!diagnosis->cannot && !quiet)
		fprintf(out, "  %snext     %stidemark run -- %s train.py\n", style(DIM),
		        style(PLAIN), diagnosis->name);
}

static void free_diagnosis(struct diagnosis *diagnosis)
{
	for (int i = 0; i < diagnosis->count; i++)
		free(diagnosis->findings[i].why);
	python_free(&diagnosis->python);
}

int cmd_doctor(const struct options *options)
{
	const char *name = options->count ? options->words[0] : "python3";
	struct diagnosis diagnosis = {.name = name};
	int status, written;
	char *python = launch_lookup(name, &status);
	FILE *out;

	if (!python)
		fail(STATUS_NO,
		     "cannot find '%s'; name a Python: 'tidemark doctor PYTHON'", name);
	if (options->value[OPT_SIMULATE]) {
		status = doctor_simulate(options, name, python);
		free(python);
		return status;
	}
	look_at_python(&diagnosis, python);
	look_at_torch(&diagnosis);
	look_at_library(&diagnosis);
	look_at_system(&diagnosis);
	out = screen_open();
	if (options->value[OPT_JSON])
		print_json(&diagnosis, out);
	else
		print_screen(&diagnosis, out);
	status = diagnosis.cannot ? STATUS_NO : STATUS_DONE;
	written = screen_close(out);
	free_diagnosis(&diagnosis);
	free(python);
	return written ? written : status;
}
