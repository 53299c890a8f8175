/* page.c - one or more traces as a page that needs nothing but a browser.
 *
 * The page is web/, bundled into one file when the command is built (cmake/Page.cmake), with a
 * mark where the data go. The data are JSON inside a script element that is never run: the
 * answers of the other commands as they are, and what only the page draws.
 * Called from: commands/html.c. */
#include "page.h"

#include <stdlib.h>
#include <string.h>

#include "ask.h"
#include "device.h"
#include "heap.h"

#ifdef TIDEMARK_PAGE_FILE
__asm__(".section .rodata\n"
        "page_html: .incbin \"" TIDEMARK_PAGE_FILE "\"\n"
        ".byte 0\n"
        ".previous\n");
extern const char page_html[];
#else
static const char page_html[] = "";
#endif

static const char mark[] = "TIDEMARK_DATA";

bool page_is_there(void)
{
	return *page_html;
}

void page_begin(FILE *out)
{
	const char *at = strstr(page_html, mark);

	fwrite(page_html, 1, (size_t)(at - page_html), out);
	fputs("{\"traces\":[", out);
}

void page_end(FILE *out)
{
	fputs("]}", out);
	fputs(strstr(page_html, mark) + strlen(mark), out);
}

/* True where some blocks are not in it. */
static bool drawn(struct trace *trace, const char *device, FILE *out)
{
	bool thinned = false;
	struct json json;
	size_t count;
	const struct device *devices = trace_devices(trace, device, &count);

	json_begin(&json, out);
	json_text(&json, "name", trace->name);
	json_text(&json, "version", TIDEMARK_VERSION);
	json_truth(&json, "running", trace->running || trace->perhaps_running);
	json_text(&json, "incomplete", trace->missing);
	json_array(&json, "devices");
	for (size_t i = 0; i < count; i++)
		thinned |= device_json(trace, &devices[i], &json);
	json_end(&json);
	json_end(&json);
	return thinned;
}

/* The answers of the other commands. Who was alive follows from the blocks, where all are in the
 * page. */
static void answers(const struct trace *trace, const char *device, bool thinned,
                    FILE *out)
{
	fputs(",\"answers\":{", out);
	for (int i = 0; ask_commands[i]; i++) {
		fprintf(out, "%s\"%s\":", i ? "," : "", ask_commands[i]);
		ask(ask_commands[i], trace->path, device, thinned ? "3000" : "0", out);
	}
	fputc('}', out);
}

void page_trace(struct trace *trace, const char *device, bool first, FILE *out)
{
	char *text = NULL;
	size_t size;
	bool thinned;
	FILE *file = open_memstream(&text, &size);

	if (!file)
		out_of_memory();
	thinned = drawn(trace, device, file);
	fclose(file);
	fputs(first ? "{\"drawn\":" : ",{\"drawn\":", out);
	ask_inside(text, out);
	free(text);
	answers(trace, device, thinned, out);
	fputc('}', out);
}
