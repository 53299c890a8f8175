/* trainer.c - train.py, which is part of the command, with the settings of one plan put in.
 * Called from: commands/plan.c, measure.c. */
#include "trainer.h"

#include <string.h>

__asm__(".section .rodata\n"
        "train_py: .incbin \"" TIDEMARK_TRAIN_FILE "\"\n"
        ".byte 0\n"
        ".previous\n");
extern const char train_py[];

void trainer_print(const struct plan *plan, const struct options *options, FILE *out)
{
	static const char mark[] = "SETTINGS = None\n";
	const char *at = strstr(train_py, mark);

	fwrite(train_py, 1, (size_t)(at - train_py), out);
	trainer_settings(plan, options, out);
	fputs(at + strlen(mark), out);
}
