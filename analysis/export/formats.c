/* formats.c - the formats that a trace can be written in.
 * Called from: commands/export.c. */
#include "export.h"

#include <string.h>

static const struct format formats[] = {
        {"memory_viz", ".pickle", "event", true, false, export_memory_viz,
         "python -m torch.cuda._memory_viz trace_plot %s -o memory.html"},
        {"perfetto", ".pftrace", "event", true, false, export_perfetto, NULL},
        {"speedscope", ".speedscope.json", "stack", false, false, export_speedscope,
         "npx speedscope %s"},
        {"pprof", ".pb.gz", "sample", true, false, export_pprof, "pprof -top %s"},
        {"csv", ".csv", "row", false, true, export_csv, NULL},
        {"parquet", ".parquet", "row", true, true, export_parquet, NULL},
};

enum { FORMATS = sizeof(formats) / sizeof(*formats) };

const struct format *format_find(const char *name)
{
	for (int i = 0; i < FORMATS; i++)
		if (!strcmp(formats[i].name, name))
			return &formats[i];
	return NULL;
}

const char *format_names(void)
{
	static char names[128];

	*names = 0;
	for (int i = 0; i < FORMATS; i++) {
		if (i)
			strcat(names, ", ");
		strcat(names, formats[i].name);
	}
	return names;
}
