/* capabilities.c - which signals this process gives, and why one is missing.
 * Called from: about.c. */
#include "capabilities.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "emit.h"
#include "provider.h"
#include "real.h"

static const struct row {
	uint8_t library, field;
	const char *symbol, *need;
} rows[] = {
#define HOOK(field, library, need, result, arguments, symbol)                          \
	{TMK_LIB_##library, TMK_FIELD_##field, #symbol, #need},
#define HOOK_TOO HOOK
#define REAL     HOOK
#define REAL_TOO HOOK
#include "hooks.def"
#undef HOOK
#undef HOOK_TOO
#undef REAL
#undef REAL_TOO
};
enum { ROWS = sizeof(rows) / sizeof(*rows) };

/* Needs that one of several functions answers: which one depends on torch's version. */
static bool any_will_do(const char *need)
{
	return !strcmp(need, "graph_task") || !strcmp(need, "expandable_segments") ||
	       !strcmp(need, "quiet_pointers");
}

/* Is it a library that this process would have if it needed it? A run on the CPU lacks
 * nothing for not having CUDA. */
static bool expected(uint8_t library)
{
	char path[4096];
	return library <= TMK_LIB_CPU || library == TMK_LIB_LIBC ||
	       (library != TMK_LIB_NCCL && library != TMK_LIB_CUDA &&
	        tmk_library_path(TMK_LIB_C10_CUDA, path, sizeof(path)));
}

/* Several functions may stand behind one capability: it is there if all of them are, or
 * any where any will do, and says which is not. */
void tmk_report_capabilities(void)
{
	for (int i = 0; i < ROWS; i++) {
		bool first = true, found = false;
		const struct row *missing = NULL;
		for (int j = 0; j < ROWS; j++) {
			if (strcmp(rows[j].need, rows[i].need))
				continue;
			first = first && j >= i;
			bool here = tmk_field_found(rows[j].field);
			found |= here;
			if (!here && !missing)
				missing = &rows[j];
		}
		if (!first || (!found && !expected(rows[i].library)))
			continue;
		if (found && any_will_do(rows[i].need))
			missing = NULL;
		char why[512] = "";
		if (missing)
			snprintf(why, sizeof(why),
			         tmk_field_several(missing->field)
			                 ? "more than one library has %s"
			                 : "%s is not in this process",
			         missing->symbol);
		tmk_emit_capability(rows[i].need, missing ? "missing" : "live", why);
	}
}
