/* brief.c - the first lines about a run that ended out of memory, for other answers to begin
 * with.
 * Called from: commands/findings.c, commands/run.c, commands/simulate.c. */
#include "brief.h"

#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "text.h"

/* What Python says ended the program; where it says something else, memory did not. */
static bool ended_otherwise(struct trace *trace)
{
	char *class = rows_first_text(db_rows(
	        trace->db, "SELECT value FROM meta WHERE key = 'uncaught'", ""));
	bool otherwise = class && !strstr(class, "OutOfMemory");

	free(class);
	return otherwise;
}

static bool load_device(struct trace *trace, const struct device *device,
                        struct brief *brief)
{
	places_load(trace, device->name, &brief->places);
	brief->ooms = ooms_load(trace, &brief->places, device, -1, &brief->count);
	if (brief->count && brief->ooms[brief->count - 1].fatal)
		return true;
	ooms_free(brief->ooms, brief->count);
	places_free(&brief->places);
	brief->ooms = NULL;
	return false;
}

bool brief_load(struct trace *trace, struct brief *brief)
{
	*brief = (struct brief){.ooms = NULL};
	if (trace->running || !db_number(trace->db, 0, "SELECT count(*) FROM oom") ||
	    ended_otherwise(trace))
		return false;
	for (size_t i = 0; i < trace->device_count; i++) {
		const struct device *device = &trace->devices[i];
		if (!load_device(trace, device, brief))
			continue;
		growth_load(trace, &brief->places, device, -1, &brief->growth);
		answer_make(trace, &brief->places, &brief->growth,
		            &brief->ooms[brief->count - 1], &brief->answer);
		return true;
	}
	return false;
}

void brief_free(struct brief *brief)
{
	answer_free(&brief->answer);
	ooms_free(brief->ooms, brief->count);
	growth_free(&brief->growth);
	places_free(&brief->places);
}

static void print_row(FILE *out, const char *name, const char *text)
{
	fprintf(out, "  %s%-8s%s  ", style(DIM), name, style(PLAIN));
	text_wrap(out, text, 12, 12);
}

static void print_lever(const struct levers *levers, FILE *out)
{
	static const char *const said[] = {"", "not known: ", "not enough: "};
	char *text;

	if (!levers->count)
		return;
	text = format_text("%s%s", said[levers->list[0].mark], levers->list[0].change);
	print_row(out, "lever", text);
	free(text);
}

void brief_print(const struct brief *brief, FILE *out)
{
	const struct answer *answer = &brief->answer;
	const struct oom *oom = answer->oom;
	char *when =
	        format_text("%s, step %s, %s; the run ended there",
	                    oom->moment.device->name, text_count(oom->moment.step.id).s,
	                    trace_phase(answer->trace, oom->moment.phase));
	char *why = verdict_text(oom);
	char *verdict = format_text("%s: %s", verdict_names[oom->verdict], why);
	char *chain = line_chain(answer->trace, oom->stack, 4);

	fprintf(out, "%sOUT OF MEMORY%s  ", style(BOLD), style(PLAIN));
	text_wrap(out, when, 15, 15);
	if (*chain)
		print_row(out, "line", chain);
	print_row(out, "verdict", verdict);
	print_lever(&answer->levers, out);
	free(chain);
	free(verdict);
	free(why);
	free(when);
}

void brief_json(const struct brief *brief, const char *key, struct json *json)
{
	const struct answer *answer = &brief->answer;
	const struct oom *oom = answer->oom;
	const struct lever *lever =
	        answer->levers.count ? &answer->levers.list[0] : NULL;

	json_object(json, key);
	json_text(json, "device", oom->moment.device->name);
	json_number(json, "step", oom->moment.step.id);
	json_text(json, "phase", trace_phase(answer->trace, oom->moment.phase));
	line_json(json, "line", &oom->line);
	json_number(json, "requested_bytes", oom->requested);
	json_text(json, "verdict", verdict_names[oom->verdict]);
	json_text(json, "lever", lever ? lever->id : NULL);
	json_text(json, "change", lever ? lever->change : NULL);
	json_text(json, "mark", lever ? mark_names[lever->mark] : NULL);
	json_end(json);
}
