/* junit.c - what was judged, on the screen and as others read it: JSON, JUnit's XML, the
 * annotations of GitHub Actions.
 *
 * JUnit: one testsuite, a testcase for each condition, with a failure in it where it did not pass
 * (the schema that Jenkins' xUnit plugin and GitLab read). GitHub: workflow commands, whose text
 * has '%', CR and LF escaped, and in properties ':' and ',' too (actions/toolkit, command.ts).
 * Called from: commands/check.c. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "judge.h"
#include "term.h"
#include "text.h"
#include "utf8.h"

static bool is_like(const struct condition *a, const struct condition *b)
{
	return a->rank && b->rank && a->judged == JUDGE_PASSED &&
	       b->judged == JUDGE_PASSED && !strcmp(a->name, b->name);
}

/* How many ranks pass the condition that this one passes; 0 where another of them has more bytes. */
static size_t stands_for(const struct conditions *conditions, size_t index)
{
	const struct condition *one = &conditions->list[index];
	size_t count = 0;

	for (size_t i = 0; i < conditions->count; i++) {
		const struct condition *other = &conditions->list[i];
		if (!is_like(one, other))
			continue;
		if (other->value > one->value ||
		    (other->value == one->value && i < index))
			return 0;
		count++;
	}
	return count;
}

void judge_print(const struct conditions *conditions, FILE *out)
{
	for (size_t i = 0; i < conditions->count; i++) {
		const struct condition *condition = &conditions->list[i];
		bool passed = condition->judged == JUDGE_PASSED;
		size_t same = 1;
		if (condition->rank && passed && !(same = stands_for(conditions, i)))
			continue;
		fprintf(out, "  %s%-9s%s  %-8s  ", style(passed ? GREEN : RED),
		        judge_names[condition->judged], style(PLAIN), condition->name);
		if (same > 1)
			fprintf(out, "%zu ranks; ", same);
		if (same > 1 && condition->value >= 0)
			fputs("the highest is ", out);
		if (same > 1 && condition->value < 0)
			fputs("the first is ", out);
		if (condition->rank)
			fprintf(out, "%s: ", condition->rank);
		/* One line, however long: it is read in a log. */
		text_fit(out, condition->reason, INT_MAX, KEEP_HEAD);
		fputc('\n', out);
	}
}

void judge_json(const struct conditions *conditions, struct json *json)
{
	json_truth(json, "passed", !judge_worst(conditions));
	json_array(json, "conditions");
	for (size_t i = 0; i < conditions->count; i++) {
		const struct condition *condition = &conditions->list[i];
		json_object(json, NULL);
		json_text(json, "condition", condition->name);
		if (condition->rank) {
			json_text(json, "rank", condition->rank);
			json_text(json, "trace", condition->path);
		}
		json_text(json, "device", condition->device);
		json_text(json, "state", judge_names[condition->judged]);
		json_text(json, "reason", condition->reason);
		json_text(json, "basis",
		          condition->judged == JUDGE_UNKNOWN ? NULL : condition->basis);
		json_known(json, "value_bytes", condition->value);
		json_known(json, "limit_bytes", condition->limit);
		json_text(json, "file", condition->file);
		json_known(json, "line", condition->line);
		json_end(json);
	}
	json_end(json);
}

/* XML 1.0 has no place for control characters, escaped or not, nor for bytes that are no UTF-8. */
static void xml(const char *text, FILE *out)
{
	for (int length; *text; text += length) {
		unsigned char sign = (unsigned char)*text;
		length = utf8_sequence((const unsigned char *)text);
		if (!length || sign < ' ' || sign == 127)
			fputc('?', out), length = 1;
		else if (strchr("&<>\"", sign))
			fprintf(out, "&#%d;", sign);
		else
			fwrite(text, 1, (size_t)length, out);
	}
}

void judge_junit(const struct conditions *conditions, const char *name, FILE *out)
{
	size_t failed = 0;

	for (size_t i = 0; i < conditions->count; i++)
		failed += conditions->list[i].judged != JUDGE_PASSED;
	fprintf(out,
	        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
	        "<testsuites>\n"
	        "  <testsuite name=\"tidemark check\" tests=\"%zu\" failures=\"%zu\" "
	        "errors=\"0\" skipped=\"0\">\n",
	        conditions->count, failed);
	for (size_t i = 0; i < conditions->count; i++) {
		const struct condition *condition = &conditions->list[i];
		const char *device = condition->device ? condition->device : "";
		fputs("    <testcase classname=\"", out);
		xml(name, out);
		fprintf(out, "\" name=\"%s%s", condition->name, *device ? " " : "");
		xml(device, out);
		if (condition->rank) {
			fputs(", ", out);
			xml(condition->rank, out);
		}
		if (condition->judged == JUDGE_PASSED) {
			fputs("\"/>\n", out);
			continue;
		}
		fprintf(out, "\">\n      <failure type=\"%s\" message=\"",
		        judge_names[condition->judged]);
		xml(condition->reason, out);
		fputs("\"/>\n    </testcase>\n", out);
	}
	fputs("  </testsuite>\n</testsuites>\n", out);
}

static void github_escaped(const char *text, bool property, FILE *out)
{
	for (; *text; text++) {
		bool escape = *text == '%' || *text == '\r' || *text == '\n' ||
		              (property && (*text == ':' || *text == ','));
		if (escape)
			fprintf(out, "%%%02X", (unsigned)(unsigned char)*text);
		else
			fputc(*text, out);
	}
}

/* A file as the repository has it, where it lies inside the one that is checked. */
static const char *in_workspace(const char *file)
{
	static char here[4096];
	const char *workspace = getenv("GITHUB_WORKSPACE");
	size_t length;

	if (!workspace || !*workspace)
		workspace = getcwd(here, sizeof(here));
	length = workspace ? strlen(workspace) : 0;
	while (length && workspace[length - 1] == '/')
		length--;
	return length && !strncmp(file, workspace, length) && file[length] == '/'
	               ? file + length + 1
	               : file;
}

void judge_github(const struct conditions *conditions, FILE *out)
{
	for (size_t i = 0; i < conditions->count; i++) {
		const struct condition *condition = &conditions->list[i];
		if (condition->judged == JUDGE_PASSED)
			continue;
		fputs("::error ", out);
		if (condition->file) {
			fputs("file=", out);
			github_escaped(in_workspace(condition->file), true, out);
			fprintf(out, ",line=%lld,", (long long)condition->line);
		}
		fprintf(out, "title=tidemark check %s::", condition->name);
		if (condition->rank) {
			github_escaped(condition->rank, false, out);
			fputs(": ", out);
		}
		github_escaped(condition->reason, false, out);
		fputc('\n', out);
	}
}
