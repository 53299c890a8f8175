/* rerun.c - the command that a trace recorded, ready to be run again on a simulated card.
 * Called from: verify.c. */
#include "rerun.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fail.h"
#include "heap.h"
#include "launch.h"
#include "profile.h"

static const char recorded_words[] = "SELECT value FROM run, json_each(run.argv)";
static const char recorded_place[] =
        "SELECT cwd, host, rank, coalesce(world_size, 0), coalesce(local_rank, 0), "
        "(SELECT value FROM meta WHERE key = 'alloc_conf') FROM run";

static void load_words(struct trace *trace, struct rerun *rerun)
{
	struct rows *rows = db_rows(trace->db, recorded_words, "");
	size_t room = 0;

	rerun->text = copy_text("");
	while (rows_next(rows)) {
		char *longer;
		rerun->words = grow(rerun->words, rerun->count + 1, &room,
		                    sizeof(*rerun->words));
		rerun->words[rerun->count++] = rows_copy(rows, 0);
		rerun->words[rerun->count] = NULL;
		longer = format_text("%s%s%s", rerun->text, *rerun->text ? " " : "",
		                     rerun->words[rerun->count - 1]);
		free(rerun->text);
		rerun->text = longer;
	}
	if (!rerun->count || !rerun->words[0])
		fail(STATUS_USAGE,
		     "'%s' has no command line to run again (TIDEMARK_REDACT keeps it "
		     "out)",
		     trace->name);
}

/* torchrun gives a rank the device of its local number; posing, that is the rank modulo the
 * devices there are. */
static int64_t devices_for(int64_t rank, int64_t local)
{
	int64_t devices = local + 1;

	while (devices < rank && rank % devices != local)
		devices++;
	return devices;
}

static void load_place(struct trace *trace, struct rerun *rerun)
{
	struct rows *rows = db_rows(trace->db, recorded_place, "");
	int64_t local = 0;

	if (rows_next(rows)) {
		rerun->folder = rows_copy(rows, 0);
		rerun->host = rows_copy(rows, 1);
		rerun->rank = rows_number_or(rows, 2, 0);
		rerun->world = rows_number(rows, 3);
		local = rows_number(rows, 4);
		rerun->settings = rows_copy(rows, 5);
		rows_free(rows);
	}
	rerun->devices = rerun->world ? devices_for(rerun->rank, local) : 1;
}

static bool card_named(const struct profile *card, const struct rerun *rerun)
{
	return rerun->product && card->product &&
	       !strcmp(rerun->product, card->product);
}

static bool closer(const struct profile *one, const struct profile *other,
                   const struct rerun *rerun)
{
	bool named = card_named(one, rerun), other_named = card_named(other, rerun);

	if (named != other_named)
		return named;
	return llabs(one->memory_bytes - rerun->memory) <
	       llabs(other->memory_bytes - rerun->memory);
}

/* The card of the trace's name, or any where none has it; of several the one whose memory is
 * closest. */
static void load_card(const struct oom *oom, struct rerun *rerun)
{
	const struct device *device = oom->moment.device;
	const struct profile *best = NULL;
	size_t count;
	struct profile *cards = profiles_load(&count);

	rerun->product = copy_text(device->product);
	rerun->memory = oom->moment.total > 0 ? oom->moment.total : device->total_bytes;
	for (size_t i = 0; i < count; i++)
		if (!best || closer(&cards[i], best, rerun))
			best = &cards[i];
	rerun->card = best ? copy_text(best->gpu) : NULL;
	if (best && oom->outside > best->context_bytes)
		rerun->outside = oom->outside - best->context_bytes;
	profiles_free(cards, count);
	if (!rerun->card)
		fail(STATUS_USAGE, "no simulated card is installed to verify on");
	if (rerun->memory <= 0)
		fail(STATUS_USAGE, "the trace does not say how much memory %s has",
		     device->name);
}

static void check(const struct rerun *rerun)
{
	int status;
	struct stat st;
	char *program;

	if (rerun->folder && (stat(rerun->folder, &st) || !S_ISDIR(st.st_mode)))
		fail(STATUS_USAGE, "the folder '%s' in which it ran is gone",
		     rerun->folder);
	if (rerun->folder && chdir(rerun->folder))
		fail(STATUS_USAGE, "cannot enter '%s', in which it ran", rerun->folder);
	program = launch_lookup(rerun->words[0], &status);
	if (!program)
		fail(STATUS_USAGE, "the recorded command '%s' is no longer there",
		     rerun->words[0]);
	free(program);
}

void rerun_load(struct trace *trace, const struct oom *oom, struct rerun *rerun)
{
	*rerun = (struct rerun){0};
	load_words(trace, rerun);
	load_place(trace, rerun);
	load_card(oom, rerun);
	if (!strncmp(oom->moment.device->name, "cuda:", 5) && !rerun->world)
		rerun->devices = atoll(oom->moment.device->name + 5) + 1;
	check(rerun);
}

void rerun_free(struct rerun *rerun)
{
	for (size_t i = 0; i < rerun->count; i++)
		free(rerun->words[i]);
	free(rerun->words);
	free(rerun->text);
	free(rerun->folder);
	free(rerun->host);
	free(rerun->settings);
	free(rerun->card);
	free(rerun->product);
}

bool rerun_is_here(const struct rerun *rerun)
{
	char host[256] = "";

	gethostname(host, sizeof(host) - 1);
	return rerun->host && !strcmp(rerun->host, host);
}
