/* assumptions.c - see assumptions.h. Lines of the log are written by simulator/core/values.c,
 * simulator/core/log.c and simulator/with/tidemark_known/reads.py.
 * Called from: outcome.c, outcome_print.c. */
#include "assumptions.h"

#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "text.h"

/* "8 bytes, density, masked_select at train.py:7, after KERNEL" (simulator/core/values.c) */
static void read_size(char *line, struct assumptions *found)
{
	char *how = strstr(line, ", "), *where = how ? strstr(how + 2, ", ") : NULL;
	char *kernel = where ? strstr(where, ", after ") : NULL;

	found->sizes++;
	if (!kernel)
		return;
	found->guessed += !strncmp(how, ", density", strlen(", density"));
	if (found->sized_by)
		return;
	found->sized_by_kernel = copy_text(kernel + strlen(", after "));
	*kernel = 0;
	found->sized_by = copy_text(where + 2);
}

static void add_word(char **list, const char *word)
{
	char *before = *list;

	if (before && (strstr(before, word) || strlen(before) > 200))
		return;
	*list = format_text("%s%s%s", before ? before : "", before ? ", " : "", word);
	free(before);
}

/* "4711 refused cudart cudaIpcOpenMemHandle" (simulator/core/log.c), once a name */
static void read_refusal(const char *line, struct assumptions *found)
{
	char name[100];

	if (sscanf(line, "%*d refused %*s %99s", name) == 1)
		add_word(&found->refused, name);
}

/* "branch: __bool__ at train.py:7", once a process for each operator and line */
static void read_value(char *line, struct assumptions *found)
{
	char *what = strstr(line, ": "), *where = what ? strstr(what, " at ") : NULL;
	char *before = found->decided;

	if (!where)
		return;
	*what = *where = 0;
	if (!strcmp(line, "share")) {
		found->shares++;
		return;
	}
	if (!strcmp(line, "least size")) {
		found->least++;
		line += strlen("least ");
	}
	if (!strcmp(line, "number")) {
		found->looked++;
		return;
	}
	if (!strcmp(line, "finite")) {
		found->finite++;
		return;
	}
	found->decisions++;
	found->decided = format_text("%s%s\t%s\t%s\n", before ? before : "", line,
	                             what + 2, where + 4);
	free(before);
}

static void read_line(char *line, struct assumptions *found)
{
	static const char size_mark[] = "size from a value: ",
	                  value_mark[] = " assumed ",
	                  inside_mark[] = " not known inside of ",
	                  lacks_mark[] = " not computed ";
	char *at;

	line[strcspn(line, "\n")] = 0;
	if ((at = strstr(line, size_mark)))
		read_size(at + strlen(size_mark), found);
	else if ((at = strstr(line, value_mark)))
		read_value(at + strlen(value_mark), found);
	else if ((at = strstr(line, inside_mark)))
		add_word(&found->unknown_inside, at + strlen(inside_mark));
	else if ((at = strstr(line, lacks_mark)))
		add_word(&found->uncomputed, at + strlen(lacks_mark));
	else
		read_refusal(line, found);
}

void assumptions_read(struct assumptions *assumptions, const struct simulator_log *log)
{
	FILE *file = log->path ? fopen(log->path, "re") : NULL;
	char line[600];

	if (file)
		fseek(file, (long)log->from, SEEK_SET);
	while (file && fgets(line, sizeof(line), file))
		read_line(line, assumptions);
	if (file)
		fclose(file);
}

void assumptions_free(struct assumptions *assumptions)
{
	free(assumptions->sized_by);
	free(assumptions->sized_by_kernel);
	free(assumptions->refused);
	free(assumptions->decided);
	free(assumptions->unknown_inside);
	free(assumptions->uncomputed);
}

struct assumptions assumptions_copy(const struct assumptions *assumptions)
{
	struct assumptions copy = *assumptions;

	copy.sized_by = copy_text(assumptions->sized_by);
	copy.sized_by_kernel = copy_text(assumptions->sized_by_kernel);
	copy.refused = copy_text(assumptions->refused);
	copy.decided = copy_text(assumptions->decided);
	copy.unknown_inside = copy_text(assumptions->unknown_inside);
	copy.uncomputed = copy_text(assumptions->uncomputed);
	return copy;
}

const char *assumptions_bound(const struct assumptions *assumptions)
{
	bool lower = assumptions->sizes > assumptions->guessed || assumptions->least,
	     assumed = assumptions->guessed || assumptions->decisions ||
	               assumptions->uncomputed;

	return lower ? "lower" : assumed ? "assumed" : "exact";
}

/* What the sizes of masks and of nonzero() rest on; NULL: nothing does. */
static const char *density(const struct assumptions *assumptions)
{
	static char text[80];
	const char *percent = getenv("TIDEMARK_SIM_DENSITY");

	if (!assumptions->guessed && !assumptions->shares)
		return NULL;
	snprintf(text, sizeof(text),
	         "%.10s %% of each mask is set (--density changes it)",
	         percent && *percent ? percent : "50");
	return text;
}

static bool values_computed(void)
{
	const char *values = getenv("TIDEMARK_SIM_VALUES");

	return values && *values == 'c';
}

/* "branch\t__bool__\ttrain.py:7" as "a branch by __bool__ at train.py:7" */
static void print_decision(const char *line, FILE *out)
{
	int use = (int)strcspn(line, "\t");
	const char *what = line + use + 1;
	int operator=(int) strcspn(what, "\t");
	const char *where = what + operator+ 1, *end = where + strcspn(where, "\n");
	char *text;

	for (const char *at = where; at < end;
	     at++) /* the file's name tells the line */
		if (*at == '/')
			where = at + 1;
	text = format_text("a%s %.*s by %.*s at %.*s", *line == 'i' ? "n" : "", use,
	                   line, operator, what, (int)(end - where), where);

	fputs("         ", out);
	text_fit(out, text, term.width - 9, KEEP_HEAD);
	fputc('\n', out);
	free(text);
}

static void print_decisions(const struct assumptions *assumptions, FILE *out)
{
	enum { SHOWN = 3 };
	const char *line = assumptions->decided;

	for (int i = 0; i < SHOWN && line && *line; i++) {
		print_decision(line, out);
		line = strchr(line, '\n') + 1;
	}
	if (assumptions->decisions > SHOWN)
		fprintf(out, "         and %s; --json has all\n",
		        text_plural(assumptions->decisions - SHOWN, "more place").s);
}

void assumptions_print(const struct assumptions *assumptions, FILE *out)
{
	const char *bound = assumptions_bound(assumptions);

	if (!strcmp(bound, "exact")) {
		fputs("  bound: exact; no size and no branch depended on a value that "
		      "was "
		      "not computed\n",
		      out);
	} else if (assumptions->sizes >
	           (assumptions->least ? assumptions->guessed : 0)) {
		fprintf(out,
		        "  bound: %s; %s depended on values that were not computed, "
		        "the "
		        "first in\n         ",
		        bound, text_plural(assumptions->sizes, "size").s);
		text_fit(out, assumptions->sized_by ? assumptions->sized_by : "?",
		         term.width - 9, KEEP_TAIL);
		fputc('\n', out);
	} else if (!assumptions->decisions) {
		fprintf(out, "  bound: %s; not computed:\n         ", bound);
		text_fit(out, assumptions->uncomputed ? assumptions->uncomputed : "?",
		         term.width - 9, KEEP_HEAD);
		fputs("\n         What the program reads of their results is not "
		      "known.\n",
		      out);
	} else {
		fprintf(out,
		        assumptions->least ? "  bound: %s; the smallest sizes possible "
		                             "decided in %s:\n"
		                           : "  bound: %s; values that were made up, "
		                             "not computed, decided in %s:\n",
		        bound, text_plural(assumptions->decisions, "place").s);
		print_decisions(assumptions, out);
	}
	if (density(assumptions))
		fprintf(out, "  assumed: %s\n", density(assumptions));
	if (assumptions->finite)
		fprintf(out, "  assumed: losses and gradients are finite\n");
	if (values_computed())
		fputs("  computed: every operator on the CPU too. Where two gradients "
		      "are added up, the sum\n         is one tensor more than on a "
		      "card; so the peak may be a little too high\n",
		      out);
	if (assumptions->unknown_inside)
		fprintf(out, "  no values were computed inside %s\n",
		        assumptions->unknown_inside);
}

static void json_decisions(const char *line, struct json *json)
{
	json_array(json, "assumed");
	while (line && *line) {
		char *copy = copy_text(line), *rest = NULL;
		copy[strcspn(copy, "\n")] = 0;
		json_object(json, NULL);
		json_text(json, "use", strtok_r(copy, "\t", &rest));
		json_text(json, "operator", strtok_r(NULL, "\t", &rest));
		json_text(json, "line", strtok_r(NULL, "\t", &rest));
		json_end(json);
		free(copy);
		line = strchr(line, '\n') + 1;
	}
	json_end(json);
}

void assumptions_json(const struct assumptions *assumptions, struct json *json)
{
	json_number(json, "sizes_from_values", assumptions->sizes);
	json_text(json, "assumption", density(assumptions));
	json_text(json, "first_size_from", assumptions->sized_by);
	json_text(json, "first_size_kernel", assumptions->sized_by_kernel);
	json_decisions(assumptions->decided, json);
	json_number(json, "numbers_looked_at", assumptions->looked);
	json_truth(json, "finite_assumed", assumptions->finite > 0);
	json_text(json, "unknown_inside", assumptions->unknown_inside);
	json_truth(json, "computed", values_computed());
	json_text(json, "not_computed", assumptions->uncomputed);
}
