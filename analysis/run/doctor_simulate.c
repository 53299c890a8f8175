/* doctor_simulate.c - `tidemark doctor --simulate`: would this torch start on simulated
 * devices? Nothing is run.
 * Called from: commands/doctor.c. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "coverage.h"
#include "doctor.h"
#include "fail.h"
#include "heap.h"
#include "json.h"
#include "launch.h"
#include "python.h"
#include "screen.h"
#include "stubs.h"
#include "text.h"

struct examination {
	struct python python;
	char *stubs; /* NULL where there are none for this torch */
	char *why;   /* why not; NULL where it can be simulated */
	struct coverage coverage;
};

static void examine(struct examination *on, const char *program)
{
	struct python *python = &on->python;
	int major;

	if (!python_ask(program, python))
		fail(STATUS_NO, "cannot start '%s': %s", program, strerror(errno));
	major = python_cuda_major(python);
	if (!python->major)
		on->why = format_text("'%s' did not answer like a Python", program);
	else if (!*python->torch)
		on->why = format_text("'%s' has no torch", python->path);
	else if (!python->cuda)
		on->why = copy_text("this torch was built without CUDA");
	else if (!(on->stubs = stubs_folder(major)))
		on->why = format_text(
		        "there is no simulated device for CUDA %s; %s", python->cuda,
		        major == 12 || major == 13 ? "was tidemark built with it?"
		                                   : "12 and 13 can be simulated");
	if (on->why)
		return;
	on->coverage = coverage_of(python->torch, on->stubs);
	if (on->coverage.missing_count)
		on->why = copy_text(
		        "the simulated device does not have these parts of NVIDIA's "
		        "libraries:");
	else if (!on->coverage.wanted)
		on->why = copy_text(
		        "the libraries of this torch use nothing of NVIDIA's: its "
		        "files are damaged or elsewhere");
}

static void print_json(const struct examination *on, FILE *out)
{
	const struct coverage *coverage = &on->coverage;
	struct json json;

	json_begin(&json, out);
	python_json(&on->python, &json);
	json_truth(&json, "can_simulate", !on->why);
	json_text(&json, "why", on->why);
	json_number(&json, "symbols", (int64_t)coverage->wanted);
	json_array(&json, "missing");
	for (size_t i = 0; i < coverage->missing_count; i++)
		json_text(&json, NULL, coverage->missing[i]);
	json_end(&json);
	json_end(&json);
}

static void print_screen(const struct examination *on, const char *name, FILE *out)
{
	const struct python *python = &on->python;

	fprintf(out, "%sDOCTOR%s  Python %s %s torch %s", style(BOLD), style(PLAIN),
	        *python->version ? python->version : "?", sign(DOT),
	        python->torch_version ? python->torch_version : "not found");
	if (python->cuda)
		fprintf(out, " %s CUDA %s", sign(DOT), python->cuda);
	fputs("\n        ", out);
	text_fit(out, python->path, term.width - 8, KEEP_TAIL);
	fputs("\n\n  ", out);
	text_mark(out, on->why ? RED : GREEN, sign(on->why ? CROSS : CHECK));
	if (on->why)
		fprintf(out, "%s\n", on->why);
	else
		fprintf(out,
		        "all %s symbols that this torch needs of NVIDIA's libraries "
		        "are there\n",
		        text_count((int64_t)on->coverage.wanted).s);
	for (size_t i = 0; i < on->coverage.missing_count; i++)
		fprintf(out, "      %s\n", on->coverage.missing[i]);
	fprintf(out, "\n  %s%s%s\n", style(BOLD),
	        on->why ? "this torch cannot run on simulated devices"
	                : "this torch can run on simulated devices",
	        style(PLAIN));
	if (!on->why && !quiet)
		fprintf(out, "  %snext     %stidemark simulate -- %s train.py\n",
		        style(DIM), style(PLAIN), name);
}

int doctor_simulate(const struct options *options, const char *name,
                    const char *program)
{
	struct examination on = {0};
	FILE *out;
	int status, written;

	examine(&on, program);
	out = screen_open();
	if (options->value[OPT_JSON])
		print_json(&on, out);
	else
		print_screen(&on, name, out);
	status = on.why ? STATUS_NO : STATUS_DONE;
	written = screen_close(out);
	coverage_free(&on.coverage);
	python_free(&on.python);
	free(on.stubs);
	free(on.why);
	return written ? written : status;
}
