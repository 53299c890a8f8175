/* tty.c - a terminal that is drawn on again and again, and given back as it was.
 *
 * The signals that matter are blocked but while the program waits, so that no handler ever
 * meets a half-drawn screen. One write() draws a frame: over ssh that is one packet or few.
 * Called from: commands/live.c. */
#include "tty.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "fail.h"
#include "heap.h"
#include "term.h"

static const int watched[] = {SIGINT,   SIGTERM, SIGHUP, SIGQUIT,
                              SIGWINCH, SIGTSTP, SIGCONT};
enum { WATCHED = sizeof(watched) / sizeof(*watched) };

static volatile sig_atomic_t came[WATCHED];
static struct termios before;
static bool entered, has_keys;
static sigset_t outside; /* the signals that were blocked before us */
static int rows = 24, columns = 80;

static void note_signal(int number)
{
	for (int i = 0; i < WATCHED; i++)
		if (watched[i] == number)
			came[i] = 1;
}

static bool has_come(int number)
{
	for (int i = 0; i < WATCHED; i++) {
		if (watched[i] != number || !came[i])
			continue;
		came[i] = 0;
		return true;
	}
	return false;
}

static bool write_all(const char *text, size_t size)
{
	while (size) {
		ssize_t done = write(STDOUT_FILENO, text, size);
		if (done < 0 && errno != EINTR)
			return false;
		if (done > 0) {
			text += done;
			size -= (size_t)done;
		}
	}
	return true;
}

static void say(const char *text)
{
	write_all(text, strlen(text));
}

bool tty_can_draw(void)
{
	const char *kind = getenv("TERM");
	return isatty(STDOUT_FILENO) && kind && *kind && strcmp(kind, "dumb") != 0;
}

static void measure(void)
{
	struct winsize size;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || !size.ws_row)
		return;
	rows = size.ws_row;
	columns = size.ws_col ? size.ws_col : 80;
	term.width = size.ws_col > 200 ? 200 : size.ws_col < 40 ? 40 : size.ws_col;
}

static void take_screen(void)
{
	struct termios mine = before;

	if (has_keys) {
		mine.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		mine.c_cc[VMIN] = 0;
		mine.c_cc[VTIME] = 0;
		tcsetattr(STDIN_FILENO, TCSANOW, &mine);
	}
	/* Alternate screen, no cursor, no wrapping of a line that is too long. */
	say("\033[?1049h\033[?25l\033[?7l\033[2J");
	entered = true;
	measure();
}

void tty_leave(void)
{
	if (!entered)
		return;
	entered = false;
	say("\033[?7h\033[?25h\033[0m\033[?1049l");
	if (has_keys)
		tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

void tty_enter(void)
{
	struct sigaction action = {.sa_handler = note_signal};
	sigset_t blocked;

	has_keys = isatty(STDIN_FILENO) && !tcgetattr(STDIN_FILENO, &before);
	sigemptyset(&blocked);
	for (int i = 0; i < WATCHED; i++)
		sigaddset(&blocked, watched[i]);
	sigprocmask(SIG_BLOCK, &blocked, &outside);
	for (int i = 0; i < WATCHED; i++)
		sigaction(watched[i], &action, NULL);
	atexit(tty_leave);
	fail_first = tty_leave;
	take_screen();
}

bool tty_has_keys(void)
{
	return has_keys;
}

/* Ends as the signal would have ended us, or stops and comes back. */
static void as_usual(int number)
{
	sigset_t one;

	tty_leave();
	signal(number, SIG_DFL);
	sigemptyset(&one);
	sigaddset(&one, number);
	raise(number);
	sigprocmask(SIG_UNBLOCK, &one, NULL);
	/* A stopped program comes to here when it is continued. */
	sigprocmask(SIG_BLOCK, &one, NULL);
	sigaction(number, &(struct sigaction){.sa_handler = note_signal}, NULL);
	take_screen();
}

/* As much of a line as the screen is wide: escapes take no column, nor do the later bytes of a
 * character of UTF-8. */
static size_t visible(const char *line, size_t length)
{
	size_t at = 0;
	int column = 0;

	while (at < length) {
		if (line[at] == '\033') {
			at += 1 + strcspn(line + at + 1, "ABCDEFGHJKSTfhlmnsu");
			at += at < length;
			continue;
		}
		if (((unsigned char)line[at] & 0xC0) != 0x80 && ++column > columns)
			break;
		at++;
	}
	return at < length ? at : length;
}

/* The line that is shown in the last row, whatever has no room above it. */
static const char *last_line(const char *text)
{
	size_t at = strlen(text);

	at -= at && text[at - 1] == '\n';
	while (at && text[at - 1] != '\n')
		at--;
	return text + at;
}

bool tty_draw(const char *text)
{
	const char *last = last_line(text);
	char *frame = NULL;
	size_t length;
	FILE *out = open_memstream(&frame, &length);

	if (!out)
		out_of_memory();
	fputs("\033[H", out);
	for (int row = 1; *text && row <= rows; row++) {
		if (row == rows && text < last)
			text = last;
		size_t line = strcspn(text, "\n");
		fwrite(text, 1, visible(text, line), out);
		fputs(style(PLAIN), out);
		fputs(row < rows ? "\033[K\r\n" : "\033[K", out);
		text += line + (text[line] == '\n');
	}
	fputs("\033[J", out);
	fclose(out);
	bool drawn = write_all(frame, length);
	free(frame);
	return drawn;
}

static enum tty_event key(void)
{
	char typed[64];
	ssize_t count = read(STDIN_FILENO, typed, sizeof(typed));

	if (count <= 0)
		has_keys = false; /* nobody types any more */
	for (ssize_t i = 0; i < count; i++)
		if (typed[i] == 'q' || typed[i] == 'Q' || typed[i] == 3 ||
		    (typed[i] == 27 && count == 1))
			return TTY_QUIT;
	return TTY_AGAIN;
}

enum tty_event tty_wait(int64_t ns)
{
	struct timespec time = {ns / 1000000000, ns % 1000000000};
	struct pollfd keys = {.fd = has_keys ? STDIN_FILENO : -1, .events = POLLIN};
	int ready = ppoll(&keys, 1, &time, &outside);

	if (has_come(SIGTERM))
		as_usual(SIGTERM);
	if (has_come(SIGHUP))
		as_usual(SIGHUP);
	if (has_come(SIGQUIT))
		as_usual(SIGQUIT);
	if (has_come(SIGINT))
		return TTY_QUIT;
	if (has_come(SIGTSTP)) {
		as_usual(SIGTSTP);
		return TTY_AGAIN;
	}
	if (has_come(SIGCONT) || has_come(SIGWINCH)) {
		measure();
		return TTY_AGAIN;
	}
	if (ready > 0 && keys.revents & (POLLIN | POLLHUP | POLLERR))
		return key();
	return TTY_TIME;
}
