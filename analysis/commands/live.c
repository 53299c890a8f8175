/* live.c - `tidemark live`: a run that goes on, looked at again and again until it ends.
 * Called from: main.c. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "command.h"
#include "fail.h"
#include "find.h"
#include "view.h"
#include "heap.h"
#include "leaks.h"
#include "library.h"
#include "look.h"
#include "next.h"
#include "screen.h"
#include "serve.h"
#include "tty.h"

enum { SECOND = 1000000000 };

struct live {
	struct look *look;
	struct showing showing;
	bool screen, json, asked_quiet;
	int64_t left;          /* looks; -1: as many as there are */
	FILE *server, *sender; /* NULL: none */
};

/* ---- what was asked for -------------------------------------------------------------- */

static int64_t interval_of(const struct options *options, bool screen)
{
	const char *text = options->value[OPT_INTERVAL];
	char *end;
	double seconds;

	if (!text)
		return screen ? SECOND / 2 : SECOND;
	seconds = strtod(text, &end);
	if (end == text || *end || !(seconds >= 0.05 && seconds <= 86400))
		fail(STATUS_USAGE,
		     "'--interval' takes seconds, from 0.05 to 86400, not '%s'", text);
	return (int64_t)(seconds * SECOND);
}

/* -1: no server. */
static int64_t port_of(const struct options *options)
{
	bool python = options->value[OPT_SERVER_PYTHON];
	int64_t port = -1;

	if (!option_number(options, OPT_PROMETHEUS, &port)) {
		if (options->value[OPT_LISTEN] ||
		    (python && !options->value[OPT_OPENTELEMETRY]))
			fail(STATUS_USAGE,
			     "'--%s' says how to serve metrics; add '--prometheus "
			     "PORT'",
			     option_name(options->value[OPT_LISTEN]
			                         ? OPT_LISTEN
			                         : OPT_SERVER_PYTHON));
		return -1;
	}
	if (port < 1 || port > 65535)
		fail(STATUS_USAGE,
		     "'--prometheus' takes a port, from 1 to 65535, not '%s'",
		     options->value[OPT_PROMETHEUS]);
	return port;
}

static void start_servers(struct live *live, const struct options *options,
                          int64_t port)
{
	const char *python = options->value[OPT_SERVER_PYTHON],
	           *address = options->value[OPT_LISTEN],
	           *collector = options->value[OPT_OPENTELEMETRY];

	if (!python)
		python = "python3";
	if (port >= 0)
		live->server =
		        serve_start(python, address ? address : "127.0.0.1", port);
	if (collector)
		live->sender = send_start(python, collector);
}

/* A device may still come; one that is none of those that are there is a slip. */
static void check_device(const struct live *live)
{
	const struct look *look = live->look;
	char names[256] = "";

	for (size_t i = 0; live->showing.device && i < look->devices; i++) {
		size_t used = strlen(names);
		if (!strcmp(live->showing.device, look->device[i].name))
			return;
		snprintf(names + used, sizeof(names) - used, "%s%s", used ? ", " : "",
		         look->device[i].name);
	}
	if (*names)
		fail(STATUS_USAGE, "this trace has no device '%s'; it has %s",
		     live->showing.device, names);
}

static void nap(int64_t ns)
{
	nanosleep(&(struct timespec){ns / SECOND, ns % SECOND}, NULL);
}

/* A run that has just begun has a ring before its trace has a row, and one that has just ended
 * has lost the ring before this look has met the end in the trace: both take a moment. */
static void look_first(struct look *look)
{
	char why[1024];
	int tries = 0;

	while (!look_now(look, why, sizeof(why))) {
		if (look->state != GLANCE_LIVES || ++tries > 50)
			fail(STATUS_UNREADABLE, "%s", why);
		nap(SECOND / 10);
	}
}

static void look_again(struct look *look)
{
	char why[1024];

	if (!look_now(look, why, sizeof(why)))
		fail(STATUS_UNREADABLE, "%s", why);
	for (int i = 0; i < 20 && look->state == GLANCE_ENDED && !look->ended; i++) {
		nap(SECOND / 10);
		if (!look_now(look, why, sizeof(why)))
			fail(STATUS_UNREADABLE, "%s", why);
	}
}

/* ---- showing ------------------------------------------------------------------------- */

static void put(FILE **server, const char *document)
{
	if (*server && !serve_put(*server, document)) {
		fclose(*server);
		*server = NULL;
	}
}

/* The document of a look for those that give it away, which may be gone. */
static void serve(struct live *live)
{
	char *text = NULL;
	size_t length;
	FILE *out;

	if (!live->server && !live->sender)
		return;
	out = open_memstream(&text, &length);
	if (!out)
		out_of_memory();
	view_json(live->look, &live->showing, out);
	fclose(out);
	put(&live->server, text);
	put(&live->sender, text);
	free(text);
}

static void stop_servers(struct live *live)
{
	if (live->server)
		fclose(live->server);
	if (live->sender)
		fclose(live->sender);
}

/* false: nobody reads any more. */
static bool show(struct live *live)
{
	char *text = NULL;
	size_t length;
	FILE *out;
	bool shown;

	if (!live->screen) {
		if (live->json)
			view_json(live->look, &live->showing, stdout);
		else
			view_line(live->look, &live->showing, stdout);
		return !fflush(stdout);
	}
	out = open_memstream(&text, &length);
	if (!out)
		out_of_memory();
	view_print(live->look, &live->showing, out);
	fclose(out);
	shown = tty_draw(text);
	free(text);
	return shown;
}

/* Waits for the next look; false: quit. Looking takes a twentieth of the time at most. */
static bool pause_between(struct live *live)
{
	enum { SHARE = 20 };
	int64_t pause = live->showing.interval_ns, due;
	int64_t slower = SHARE * live->look->cost_ns;

	live->showing.slower_ns = slower > pause ? slower : 0;
	if (slower > pause)
		pause = slower;
	if (!live->screen) {
		nap(pause);
		return true;
	}
	due = look_clock() + pause;
	for (int64_t left = pause; left > 0; left = due - look_clock()) {
		enum tty_event event = tty_wait(left);
		if (event == TTY_QUIT || (event == TTY_AGAIN && !show(live)))
			return false;
	}
	return true;
}

/* false: somebody quit, or enough looks were taken; true: the run has ended. */
static bool watch(struct live *live)
{
	for (;; look_again(live->look)) {
		if (!look_goes_on(live->look))
			return true;
		leaks_ask(live->look, !live->screen);
		serve(live);
		if (!show(live) || (live->left > 0 && !--live->left) ||
		    !pause_between(live))
			return false;
	}
}

/* What was last known, and what to type next. The answer is "no" where a run is watched that
 * does not go on, or that did not end by itself. */
static int at_the_end(const struct live *live, bool watched)
{
	char *text = view_end(live->look, &live->showing);
	bool whole = !strcmp(view_state(live->look), "exit");

	if (live->json)
		view_json(live->look, &live->showing, stdout);
	else
		printf("%s\n", text);
	if (!live->json)
		next_commands(&(struct trace){.name = live->look->path}, stdout,
		              "report", NULL);
	free(text);
	int status = screen_flush();
	return status ? status : watched && whole ? STATUS_DONE : STATUS_NO;
}

int cmd_live(const struct options *options)
{
	const char *word = options_file(options);
	struct live live = {.json = options->value[OPT_JSON], .left = -1};
	char why[512];
	bool ended;

	live.screen = !live.json && tty_can_draw();
	live.showing.device = options->value[OPT_DEVICE];
	live.showing.interval_ns = interval_of(options, live.screen);
	if (option_number(options, OPT_LOOK_COUNT, &live.left) && !live.left)
		fail(STATUS_USAGE, "'--count' takes a number from 1 on");
	int64_t port = port_of(options);
	char *library = library_find(why, sizeof(why));
	live.look = look_new(find_living(word, library));
	free(library);
	look_first(live.look);
	check_device(&live);
	if (!look_goes_on(live.look))
		return at_the_end(&live, false);
	start_servers(&live, options, port);
	live.asked_quiet = quiet;
	if (live.screen)
		tty_enter();
	live.showing.quit = tty_has_keys() ? "q" : "Ctrl-C";
	quiet |= live.screen;
	ended = watch(&live);
	leaks_forget(live.look);
	tty_leave();
	quiet = live.asked_quiet;
	serve(&live);
	stop_servers(&live);
	int status = ended ? at_the_end(&live, true) : screen_flush();
	look_free(live.look);
	return status;
}
