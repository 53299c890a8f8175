/* term.c - what the terminal can show: width, colours, characters.
 * Called from: advice/, answers/, commands/, compare/, job/, live/, plan/,
 *     reconcile/, run/, terminal/, trace/. */
#include "term.h"

#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "fail.h"

struct term term = {.width = 80};

static int columns(void)
{
	const char *wish = getenv("COLUMNS");
	struct winsize size;
	int width = wish ? atoi(wish) : 0;

	if (width <= 0 && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &size))
		width = size.ws_col;
	if (width <= 0)
		width = 80;
	/* Past two hundred columns the eye loses the row; under forty a table breaks. */
	return width > 200 ? 200 : width < 40 ? 40 : width;
}

void term_init(const char *color)
{
	const char *no_color = getenv("NO_COLOR"), *kind = getenv("TERM");

	setlocale(LC_CTYPE, "");
	term.unicode = !strcmp(nl_langinfo(CODESET), "UTF-8");
	term.width = columns();
	if (!color || !strcmp(color, "auto"))
		term.color = isatty(STDOUT_FILENO) && !(no_color && *no_color) &&
		             kind && strcmp(kind, "dumb") != 0;
	else if (!strcmp(color, "always"))
		term.color = true;
	else if (!strcmp(color, "never"))
		term.color = false;
	else
		fail(STATUS_USAGE, "'--color' is auto, always or never, not '%s'",
		     color);
}

const char *style(enum style style)
{
	static const char *const codes[] = {
	        [PLAIN] = "\033[0m", [BOLD] = "\033[1m",     [DIM] = "\033[2m",
	        [RED] = "\033[31m",  [GREEN] = "\033[32m",   [YELLOW] = "\033[33m",
	        [BLUE] = "\033[34m", [MAGENTA] = "\033[35m", [CYAN] = "\033[36m",
	        [GREY] = "\033[90m", [BRIGHT] = "\033[94m",
	};
	return term.color ? codes[style] : "";
}

const char *sign(enum sign sign)
{
	static const char *const signs[][2] = {
	        [DOT] = {"-", "·"},      [DASH] = {"-", "–"},   [AXIS] = {"|", "┤"},
	        [BAR] = {"|", "│"},      [CORNER] = {"+", "└"}, [TICK] = {"+", "┬"},
	        [LINE] = {"-", "─"},     [ARROW] = {"<", "◀"},  [CHECK] = {"ok", "✓"},
	        [CROSS] = {"x", "✗"},    [DOTS] = {"..", "…"},  [TIMES] = {"x", "×"},
	        [BECOMES] = {"->", "→"},
	};
	return signs[sign][term.unicode];
}

/* Blocks that overlap, in a damaged trace, fill more than there is. */
static int within_cell(int64_t eighths)
{
	return eighths < 0 ? 0 : eighths > 8 ? 8 : (int)eighths;
}

const char *block_up(int64_t eighths)
{
	static const char *const cells[] = {" ", "▁", "▂", "▃", "▄",
	                                    "▅", "▆", "▇", "█"};
	if (!term.unicode)
		return eighths >= 4 ? "#" : eighths >= 1 ? "." : " ";
	return cells[within_cell(eighths)];
}

const char *block_right(int64_t eighths)
{
	static const char *const cells[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"};
	if (!term.unicode)
		return eighths >= 4 ? "#" : "";
	return cells[within_cell(eighths)];
}

struct shade {
	const char *name;
	enum style style;
};

static enum style find_shade(const struct shade *shades, const char *name)
{
	while (shades->name && strcmp(shades->name, name) != 0)
		shades++;
	return shades->style;
}

enum style phase_style(const char *phase)
{
	static const struct shade shades[] = {
	        {"setup", GREY},       {"data", CYAN},        {"forward", GREEN},
	        {"backward", MAGENTA}, {"recompute", YELLOW}, {"clip", CYAN},
	        {"optimizer", BLUE},   {"zero_grad", GREY},   {"eval", YELLOW},
	        {NULL, PLAIN},
	};
	return find_shade(shades, phase);
}

enum style bucket_style(const char *bucket)
{
	static const struct shade shades[] = {
	        {"parameter", BLUE},   {"buffer", CYAN},      {"gradient", MAGENTA},
	        {"optimizer", BRIGHT}, {"activation", GREEN}, {"input", CYAN},
	        {"temporary", YELLOW}, {"workspace", GREY},   {"communication", GREY},
	        {NULL, PLAIN},
	};
	return find_shade(shades, bucket);
}
