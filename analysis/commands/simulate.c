/* simulate.c - `tidemark simulate`: a program on cards that are not there, traced,
 * and the verdict. What is said here goes to stderr: stdout is the program's.
 * Called from: main.c. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "brief.h"
#include "cards.h"
#include "command.h"
#include "fail.h"
#include "heap.h"
#include "launch.h"
#include "outcome.h"
#include "python.h"
#include "quantity.h"
#include "scratch.h"
#include "screen.h"
#include "simulation.h"
#include "stubs.h"
#include "text.h"
#include "tracing.h"
#include "with.h"

struct session {
	const struct options *options;
	char *program, *stubs, *compile_lacks;
	struct profile *cards;
	struct outcome *outcomes; /* one a card */
	size_t count;
	int64_t outside;  /* bytes that other processes hold on the device */
	FILE *json;       /* NULL: not asked for */
	struct with with; /* levers, and what became of them; none: as it is written */
	bool without;     /* one of them was not applied: no verdict */
};

static int list_cards(void)
{
	FILE *out = screen_open();

	cards_print(out);
	return screen_close(out);
}

static int list_levers(void)
{
	FILE *out = screen_open();

	with_list(out);
	return screen_close(out);
}

/* The torch that the program will import decides which libraries stand in. */
static char *find_stubs(struct session *session)
{
	char *name = python_of(session->program, session->options->words), *folder;
	struct python python;
	int major;

	if (!name || !python_ask(name, &python) || !python.major)
		fail(STATUS_USAGE, "'%s' starts no Python that answers",
		     session->options->words[0]);
	if (!*python.torch)
		fail(STATUS_USAGE,
		     "'%s' has no torch; simulate needs a CUDA build of it",
		     python.path);
	major = python_cuda_major(&python);
	if (!python.cuda)
		fail(STATUS_USAGE,
		     "torch %s of '%s' was built without CUDA; simulate needs a CUDA "
		     "12 "
		     "or 13 build of it (no GPU, no driver)",
		     python.torch_version ? python.torch_version : "", python.path);
	if (major != 12 && major != 13)
		fail(STATUS_USAGE,
		     "torch %s of '%s' was built with CUDA %s; simulated devices are "
		     "of "
		     "CUDA 12 and 13",
		     python.torch_version ? python.torch_version : "", python.path,
		     python.cuda);
	folder = stubs_folder(major);
	if (!folder)
		fail(STATUS_USAGE,
		     "cannot find the simulated device for CUDA %d beside the command "
		     "or in "
		     "'%s/tidemark/sim%d'; was tidemark built with "
		     "TIDEMARK_SIMULATOR=OFF?",
		     major, TIDEMARK_LIBDIR, major);
	session->compile_lacks = copy_text(python.compile_lacks);
	python_free(&python);
	free(name);
	return folder;
}

static void find_cards(struct session *session)
{
	const char *wish = session->options->value[OPT_SIM_GPU];
	const char *file = getenv("TIDEMARK_SIM_PROFILE");
	char *list, *rest = NULL;
	size_t room = 0;

	if (!wish)
		wish = file && *file ? file : "a100-80gb";
	list = copy_text(wish);
	for (char *name = strtok_r(list, ",", &rest); name;
	     name = strtok_r(NULL, ",", &rest)) {
		session->cards = grow(session->cards, session->count, &room,
		                      sizeof(*session->cards));
		session->cards[session->count++] = profile_find(name);
	}
	free(list);
	if (!session->count)
		fail(STATUS_USAGE,
		     "'--gpu' names no card; 'tidemark simulate --gpu list' "
		     "has all");
	session->outcomes = allocate(session->count * sizeof(*session->outcomes));
}

/* The impossible is refused before anything runs. */
static void check_card(const struct session *session, struct profile *card)
{
	setenv("TIDEMARK_SIM_PROFILE", card->path, 1);
	if (stubs_accept(session->stubs))
		exit(STATUS_USAGE); /* the simulator has said why */
	if (getenv("TIDEMARK_SIM_MEMORY"))
		card->memory_bytes = atoll(getenv("TIDEMARK_SIM_MEMORY"));
	if (session->outside >= card->memory_bytes - card->context_bytes)
		fail(STATUS_USAGE,
		     "'%s' has %s of memory: the context (%s) and what others hold "
		     "(%s) leave "
		     "nothing",
		     card->gpu, text_size(card->memory_bytes).s,
		     text_size(card->context_bytes).s, text_size(session->outside).s);
}

/* "a.db" becomes "a-t4.db": one file a card. */
static char *output_name(const struct session *session, const struct profile *card)
{
	const char *name = session->options->value[OPT_OUTPUT];
	const char *slash, *dot;

	if (!name || session->count == 1)
		return copy_text(name);
	slash = strrchr(name, '/');
	dot = strrchr(slash ? slash : name, '.');
	if (!dot)
		dot = name + strlen(name);
	return format_text("%.*s-%s%s", (int)(dot - name), name, card->gpu, dot);
}

static void run_on(struct session *session, size_t index)
{
	const struct profile *card = &session->cards[index];
	struct outcome *outcome = &session->outcomes[index];
	struct simulator_log log = {simulation_log(), 0};
	char token[TOKEN] = "", *name = output_name(session, card);
	char *path = tracing_output(name), **files;
	struct stat st;
	size_t count;

	setenv("TIDEMARK_SIM_PROFILE", card->path, 1);
	if (log.path && !stat(log.path, &st))
		log.from = st.st_size;
	if (!path || !tracing_prepare(session->options, path, token))
		fail(STATUS_UNREADABLE, "there is no verdict without a trace");
	note("simulating %s %s %s", card->product ? card->product : card->gpu,
	     sign(DOT), text_size(card->memory_bytes).s);
	tracing_announce(path, true);
	*outcome = (struct outcome){.card = card,
	                            .ran = true,
	                            .total = card->memory_bytes,
	                            .outside = session->outside};
	/* Without us nobody would say what it found. */
	outcome->status =
	        launch_wait(session->program, session->options->words, SIGTERM);
	count = tracing_files(path, token, &files);
	outcome_read(outcome, files, count, &log);
	if (session->with.count && !with_read(&session->with)) {
		session->without = true;
		outcome->fit = NO_ANSWER;
	}
	stubs_list_free(files, count);
	free(log.path);
	free(path);
	free(name);
}

/* Derives what can be derived, runs what must be run; the largest card first, since a
 * run that reaches its end says most. */
static void answer(struct session *session)
{
	bool *done = allocate(session->count * sizeof(*done)), answered = false;

	for (size_t round = 0; round < session->count; round++) {
		size_t next = session->count;
		bool derived = false;
		for (size_t i = 0; i < session->count; i++)
			if (!done[i] && (next == session->count ||
			                 session->cards[i].memory_bytes >
			                         session->cards[next].memory_bytes))
				next = i;
		for (size_t i = 0; i < session->count && !derived; i++)
			derived = done[i] && !session->outcomes[i].based_on &&
			          outcome_derive(&session->outcomes[i],
			                         &session->cards[next],
			                         &session->outcomes[next]);
		if (!derived)
			run_on(session, next);
		done[next] = true;
		answered |= session->outcomes[next].fit != NO_ANSWER;
		if (answered)
			continue;
		/* What fails on the first card by itself fails on the others. */
		for (size_t i = 0; i < session->count; i++)
			if (!done[i])
				session->outcomes[i] = (struct outcome){
				        .card = &session->cards[i],
				        .fit = NO_ANSWER,
				        .no_trace = true,
				        .status = session->outcomes[next].status,
				        .total = session->cards[i].memory_bytes};
		break;
	}
	free(done);
}

/* Why it does not fit: the page's first lines, from the trace of the first card that ran out. */
static void say_end(const struct session *session)
{
	for (size_t i = 0; i < session->count; i++) {
		const struct outcome *outcome = &session->outcomes[i];
		struct brief brief;
		struct trace *trace;
		if (!outcome->ran || !outcome->ran_out || !outcome->trace)
			continue;
		trace = trace_open(outcome->trace);
		if (brief_load(trace, &brief)) {
			fputc('\n', stderr);
			brief_print(&brief, stderr);
			brief_free(&brief);
		}
		trace_close(trace);
		return;
	}
}

static int say(const struct session *session)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	int status = STATUS_DONE;
	bool answered = false;

	for (size_t i = 0; i < session->count; i++)
		answered |= session->outcomes[i].fit != NO_ANSWER;
	for (size_t i = 0; i < session->count; i++) {
		const struct outcome *outcome = &session->outcomes[i];
		if (outcome->fit == DOES_NOT_FIT && !status)
			status = STATUS_NO;
		if (outcome->fit == NO_ANSWER && outcome->ran &&
		    (!session->without || outcome->status))
			status = simulation_failed(outcome, session->compile_lacks);
	}
	/* It runs on one card and not on another: that is no for the other. */
	if (answered && status > STATUS_NO)
		status = STATUS_NO;
	if (session->count > 1 || session->outcomes[0].fit != NO_ANSWER)
		outcomes_print(session->outcomes, session->count, out);
	fclose(out);
	with_say(&session->with);
	if (session->without)
		status = STATUS_USAGE;
	fwrite(text, 1, size, stderr);
	free(text);
	if (status == STATUS_NO && !quiet)
		say_end(session);
	if (size)
		outcomes_next(session->outcomes, stderr);
	if (session->json) {
		outcomes_json(session->outcomes, session->count, &session->with,
		              session->json);
		if (fclose(session->json))
			fail(STATUS_NO, "cannot write '%s': %s",
			     session->options->value[OPT_JSON_FILE], strerror(errno));
	}
	return status;
}

static void free_session(struct session *session)
{
	for (size_t i = 0; i < session->count; i++)
		outcome_free(&session->outcomes[i]);
	profiles_free(session->cards, session->count);
	free(session->outcomes);
	free(session->program);
	free(session->stubs);
	free(session->compile_lacks);
	with_free(&session->with);
}

int cmd_simulate(const struct options *options)
{
	struct session session = {.options = options};
	const char *gpu = options->value[OPT_SIM_GPU];
	const char *with = options->value[OPT_SIM_WITH];
	int status;

	if (gpu && !strcmp(gpu, "list"))
		return list_cards();
	if (with && !strcmp(with, "list"))
		return list_levers();
	tracing_check(options);
	if (with)
		with_parse(with, &session.with);
	if (!options->count)
		fail(STATUS_USAGE, "name a program: 'tidemark simulate --gpu h100-80gb "
		                   "-- python train.py'");
	if (!options->value[OPT_COLOR] && !isatty(STDERR_FILENO))
		term_init("never");
	find_cards(&session);
	session.outside = simulation_settings(options, session.count);
	session.program = launch_lookup(options->words[0], &status);
	if (!session.program) {
		warn(status == NOT_FOUND ? "'%s': no such program"
		                         : "'%s' is not a program",
		     options->words[0]);
		return status;
	}
	session.stubs = find_stubs(&session);
	for (size_t i = 0; i < session.count; i++)
		check_card(&session, &session.cards[i]);
	session.json = simulation_json(options->value[OPT_JSON_FILE]);
	simulation_machine();
	tracing_warn(session.program);
	stubs_prepare(session.stubs);
	if (options->value[OPT_SIM_WORLD])
		stubs_pose(session.stubs);
	if (session.with.count)
		with_prepare(&session.with, session.stubs);
	answer(&session);
	status = say(&session);
	free_session(&session);
	return status;
}
