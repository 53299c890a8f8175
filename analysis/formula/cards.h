/* cards.h - the cards that are known: their names, and how much memory they have. One list for
 * `plan` and `simulate`: simulator/devices has a file a card, of which CMake makes cards.def. */
#ifndef TIDEMARK_ANALYSIS_CARDS_H
#define TIDEMARK_ANALYSIS_CARDS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* What kernels and libraries ask a card before they choose what they work in. */
struct silicon {
	int major; /* of its compute capability; 0: the A100 is taken */
	int multiprocessors, threads; /* threads: of each multiprocessor */
};

struct card {
	const char *name;    /* "a100-80gb" */
	const char *product; /* as torch says it: "NVIDIA A100-SXM4-80GB" */
	const char *aliases; /* "a100, a100-sxm"; "" */
	int64_t bytes;       /* torch.cuda.get_device_properties().total_memory */
	const char *source;  /* where that was seen; "assumed: …" where it was not */
	/* When: "2026-06-11"; of a source without a date the month in which the newest torch or
	 * CUDA that it names came out; where it names none, the day on which it was read. */
	const char *date;
	const char *capability; /* "8.0"; "": no CUDA device, only its memory */
	int64_t context; /* bytes of a CUDA context there, as it is simulated; 0: not known */
	struct silicon silicon; /* major 0: not known */
};

/* What is assumed of a context where the card's is not known: bytes. */
enum { CARD_CONTEXT = 512 << 20 };

const struct card *card_at(int index); /* smallest first; NULL after the last */

enum card_answer { CARD_UNKNOWN, CARD_SEVERAL, CARD_KNOWN };

/* A card by its name, torch's name for it, or an alias. Case, signs and the words NVIDIA,
 * GeForce, Tesla and RTX count for nothing: "A100 80GB" and "a100-80gb" are one, "rtx-4090" and
 * "4090" too. A name that several cards go by is taken for none of them. Unless it is known,
 * *names is a list for a sentence, allocated: who goes by the name, or who is close to it. */
enum card_answer card_find(const char *name, const struct card **card, char **names);

/* That of a card by any of its names; of one that is not known, or NULL, zeros. */
struct silicon card_silicon(const char *name);

/* What both commands say of such a name: the name, then the list. */
#define CARD_OF_SEVERAL "several cards go by '%s': %s; name one of them"

/* All of them as a table, for `--gpu list`. */
void cards_print(FILE *out);

#endif
