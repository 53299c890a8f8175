/* attempt.c - one run of the training script: a `tidemark simulate` of its own, with an
 * environment of its own. All files are in the command's temporary folder.
 * Called from: measure.c. */
#include "attempt.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "child.h"
#include "fail.h"
#include "heap.h"
#include "launch.h"
#include "scratch.h"
#include "text.h"

/* Where a user's Python is found and how it speaks; nothing that changes what it does. */
static const char *const kept[] = {"PATH",
                                   "HOME",
                                   "USER",
                                   "LOGNAME",
                                   "LANG",
                                   "LC_ALL",
                                   "LC_CTYPE",
                                   "TZ",
                                   "PYTHONPATH",
                                   "PYTHONHOME",
                                   "VIRTUAL_ENV",
                                   "CONDA_PREFIX",
                                   "LD_LIBRARY_PATH",
                                   "TIDEMARK_LIBRARY"};
static const char *const set[] = {
        "HF_HUB_OFFLINE=1", "TRANSFORMERS_OFFLINE=1", "HF_HUB_DISABLE_TELEMETRY=1",
        "PYTHONDONTWRITEBYTECODE=1", "TOKENIZERS_PARALLELISM=false"};
static const char *const folders[] = {"TMPDIR", "XDG_CACHE_HOME", "HF_HOME",
                                      "TRITON_CACHE_DIR"};

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static char **environment(const char *folder)
{
	char **list = allocate((COUNT(kept) + COUNT(set) + COUNT(folders) + 1) *
	                       sizeof(*list));
	size_t count = 0;

	for (size_t i = 0; i < COUNT(kept); i++)
		if (getenv(kept[i]))
			list[count++] = format_text("%s=%s", kept[i], getenv(kept[i]));
	for (size_t i = 0; i < COUNT(set); i++)
		list[count++] = copy_text(set[i]);
	for (size_t i = 0; i < COUNT(folders); i++)
		list[count++] = format_text("%s=%s", folders[i], folder);
	return list;
}

static void free_list(char **list)
{
	for (size_t i = 0; list[i]; i++)
		free(list[i]);
	free(list);
}

/* What `simulate` said of a run without an answer; *ran: of one whose program was started. */
static char *our_words(const char *log, bool *ran)
{
	static const char ours[] = "tidemark: ", end[] = "no verdict for ";
	char *text = child_text(log), *rest = NULL, *last = NULL, *found;

	*ran = false;
	for (char *line = text ? strtok_r(text, "\n", &rest) : NULL; line && !*ran;
	     line = strtok_r(NULL, "\n", &rest)) {
		if (strncmp(line, ours, strlen(ours)) != 0)
			continue;
		last = line + strlen(ours);
		*ran = !strncmp(last, end, strlen(end));
	}
	if (*ran && strchr(last, ':'))
		last = strchr(last, ':') + 2;
	found = copy_text(last ? last : "the simulated run ended without a word");
	free(text);
	return found;
}

/* The script has said why it can't, or which exception ended it. */
static void fail_as_said(const struct attempt *attempt)
{
	struct rows *rows = db_rows(attempt->db,
	                            "SELECT json_extract(?1, '$.refused'), "
	                            "json_extract(?1, '$.failed') WHERE json_valid(?1)",
	                            "t", attempt->result);

	if (!rows_next(rows))
		return;
	if (rows_text(rows, 0))
		fail(STATUS_USAGE, "%s", rows_text(rows, 0));
	if (rows_text(rows, 1))
		fail(STATUS_UNREADABLE, "the training failed: %s", rows_text(rows, 1));
	rows_free(rows);
}

static const char verdict_of[] =
        "SELECT json_extract(?1, '$.gpus[0].verdict'),"
        " json_extract(?1, '$.gpus[0].peak_reserved_bytes'),"
        " json_extract(?1, '$.gpus[0].peak_device_bytes'),"
        " json_extract(?1, '$.gpus[0].trace'), json_extract(?1, '$.gpus[0].step'),"
        " json_extract(?1, '$.gpus[0].phase'),"
        " json_extract(?1, '$.gpus[0].requested_bytes'),"
        " json_extract(?1, '$.gpus[0].bound') WHERE json_valid(?1)";

static void read_verdict(struct attempt *attempt, const char *verdict)
{
	struct rows *rows = db_rows(attempt->db, verdict_of, "t", verdict);
	const char *word;

	if (!rows_next(rows))
		return;
	word = rows_text(rows, 0);
	attempt->ran_out = word && !strcmp(word, "does not fit");
	attempt->reserved = rows_number(rows, 1);
	attempt->used = rows_number(rows, 2);
	attempt->bound = rows_copy(rows, 7);
	attempt->trace = word ? rows_copy(rows, 3) : NULL;
	if (attempt->ran_out)
		attempt->where = format_text(
		        "ran out in step %" PRId64 ", %s: %s more asked for",
		        rows_number(rows, 4),
		        rows_text(rows, 5) ? rows_text(rows, 5) : "other",
		        text_size(rows_number(rows, 6)).s);
	rows_free(rows);
}

static void judge(struct attempt *attempt, const char *verdict, const char *log,
                  bool ended)
{
	char *words;
	bool ran;

	attempt->db = db_memory("the answer of a run");
	if (verdict)
		read_verdict(attempt, verdict);
	if (attempt->ran_out)
		return;
	if (!ended)
		fail(STATUS_UNREADABLE,
		     "the training took more than %s and was ended; '--timeout' gives "
		     "it longer",
		     text_plural(attempt->limit, "second").s);
	if (attempt->result)
		fail_as_said(attempt);
	if (attempt->result && attempt->trace)
		return;
	words = our_words(log, &ran);
	if (ran || attempt->result)
		fail(STATUS_UNREADABLE, "the training failed: %s", words);
	fail(STATUS_USAGE, "nothing can be measured: %s", words);
}

enum { WORDS = 20 };

void attempt_run(struct attempt *attempt)
{
	char *result = scratch_file("result.json"),
	     *verdict = scratch_file("verdict.json");
	char *trace =
	        attempt->keep ? copy_text(attempt->keep) : scratch_file("trace.db");
	char *log = scratch_file("run.log"), *text;
	char *folder = format_text("%.*s", (int)(strrchr(log, '/') - log), log);
	char *memory = format_text("%" PRId64, attempt->memory);
	char *world = format_text("%" PRId64, attempt->world);
	const char *words[WORDS] = {"tidemark", "simulate", "--gpu",  attempt->card,
	                            "--memory", memory,     "--json", verdict,
	                            "-o",       trace};
	int count = 10;
	char **variables = environment(folder);
	struct child child = {words, variables, log, attempt->doing, attempt->limit};
	int status;
	bool ended;

	if (attempt->world > 1) {
		words[count++] = "--rank";
		words[count++] = "0";
		words[count++] = "--world";
		words[count++] = world;
	}
	words[count++] = "--";
	words[count++] = attempt->python;
	words[count++] = attempt->script;
	words[count] = result;
	unlink(result);
	unlink(verdict);
	if (!attempt->keep)
		unlink(trace);
	ended = child_run(&child, &status);
	attempt->result = child_text(result);
	text = child_text(verdict);
	judge(attempt, text, log, ended);
	free(text);
	free_list(variables);
	free(memory);
	free(world);
	free(folder);
	free(log);
	free(trace);
	free(verdict);
	free(result);
}

void attempt_free(struct attempt *attempt)
{
	db_close(attempt->db);
	free(attempt->result);
	free(attempt->trace);
	free(attempt->where);
	free(attempt->bound);
}
