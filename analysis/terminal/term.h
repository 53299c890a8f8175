/* term.h - what the terminal can show: width, colours, characters. */
#ifndef TIDEMARK_ANALYSIS_TERM_H
#define TIDEMARK_ANALYSIS_TERM_H

#include <stdbool.h>
#include <stdint.h>

struct term {
	int width;    /* columns, 40 to 200; 80 where stdout is no terminal */
	bool wide;    /* no text is cut to the width; charts keep to it */
	bool color;   /* ANSI colours go out */
	bool unicode; /* otherwise every sign has an ASCII twin */
};
extern struct term term;

enum style { PLAIN, BOLD, DIM, RED, GREEN, YELLOW, BLUE, MAGENTA, CYAN, GREY, BRIGHT };

enum sign {
	DOT,
	DASH,
	AXIS,
	BAR,
	CORNER,
	TICK,
	LINE,
	ARROW,
	CHECK,
	CROSS,
	DOTS,
	TIMES,
	BECOMES
};

/* Looks at stdout, COLUMNS, NO_COLOR, TERM and the locale. color: "auto", "always",
 * "never" or NULL; anything else ends the program with status 2. */
void term_init(const char *color);

/* The escape that switches a style on, PLAIN for off; "" without colours. */
const char *style(enum style style);

const char *sign(enum sign sign);

/* A cell filled from below to eighths/8, a bar end filled from the left. */
const char *block_up(int64_t eighths);
const char *block_right(int64_t eighths);

/* The colour that a phase or a bucket has on every screen. */
enum style phase_style(const char *phase);
enum style bucket_style(const char *bucket);

#endif
