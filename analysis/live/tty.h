/* tty.h - a terminal that is drawn on again and again, and given back as it was. */
#ifndef TIDEMARK_ANALYSIS_TTY_H
#define TIDEMARK_ANALYSIS_TTY_H

#include <stdbool.h>
#include <stdint.h>

/* Can stdout be drawn on? Not a file, a pipe, or a terminal without a cursor. */
bool tty_can_draw(void);

/* The alternate screen, no cursor, keys as they are typed. From now on every way out of the
 * program but SIGKILL gives the terminal back. */
void tty_enter(void);
void tty_leave(void);

/* Are keys read, or is stdin something else? */
bool tty_has_keys(void);

/* Draws text from the top, as much as fits; false: the terminal is gone. Follows its size. */
bool tty_draw(const char *text);

enum tty_event {
	TTY_TIME,  /* the time is up */
	TTY_AGAIN, /* the size has changed, or the program was continued: draw again */
	TTY_QUIT,  /* q, Escape alone, or Ctrl-C */
};

/* Waits for a key, a signal or the time, nanoseconds. SIGTERM and SIGHUP end the program. */
enum tty_event tty_wait(int64_t ns);

#endif
