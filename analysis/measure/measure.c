/* measure.c - a plan, tried. The first run has a card without end, so that it shows what the
 * training takes; a card that was asked for and may be too small then gets a run of its own.
 * Called from: commands/plan.c. */
#include "measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attempt.h"
#include "fail.h"
#include "heap.h"
#include "lived.h"
#include "profile.h"
#include "scratch.h"
#include "text.h"
#include "trainer.h"

/* The largest that the simulated device can be. */
static const int64_t endless = INT64_C(4) << 40;
static const char usual_card[] = "a100-80gb"; /* as `simulate` has it */

struct work {
	struct plan *plan;
	const struct options *options;
	struct measured *measured;
	struct profile *profiles;
	size_t count;
	char *script;
	int64_t limit;
};

/* The simulated card that has a plan's card's properties; NULL. */
static const char *simulated(const struct work *work, const struct card *card)
{
	for (size_t i = 0; i < work->count; i++)
		if (!strcmp(card->name, work->profiles[i].gpu))
			return work->profiles[i].gpu;
	return NULL;
}

static const char *main_card(const struct work *work)
{
	const char *found = NULL;

	for (int i = 0; i < work->plan->card_count && work->plan->cards_named && !found;
	     i++)
		found = simulated(work, &work->plan->cards[i]);
	return found ? found : usual_card;
}

static void write_script(struct work *work)
{
	FILE *file;

	work->script = scratch_file("train.py");
	file = work->script ? fopen(work->script, "we") : NULL;
	if (!file)
		fail(STATUS_USAGE, "cannot make a folder for the run in $TMPDIR");
	trainer_print(work->plan, work->options, file);
	if (fclose(file))
		fail(STATUS_USAGE, "cannot write '%s'", work->script);
}

static struct attempt attempt_on(const struct work *work, const char *card,
                                 int64_t memory, const char *doing, const char *keep)
{
	const char *python = work->options->value[OPT_PYTHON];
	struct attempt attempt = {.python = python ? python : "python3",
	                          .script = work->script,
	                          .card = card,
	                          .memory = memory,
	                          .limit = work->limit,
	                          .world = work->plan->training.world,
	                          .keep = keep,
	                          .doing = doing};

	attempt_run(&attempt);
	return attempt;
}

static const char said[] =
        "SELECT json_extract(?1, '$.model_class'), json_extract(?1, '$.attention'),"
        " json_extract(?1, '$.torch'), json_extract(?1, '$.transformers'),"
        " CAST(1000 * json_extract(?1, '$.seconds') AS INTEGER),"
        " json_extract(?1, '$.parameters'), json_extract(?1, '$.parameter_bytes'),"
        " json_extract(?1, '$.gradient_bytes'), json_extract(?1, '$.optimizer_bytes'),"
        " json_extract(?1, '$.buffer_bytes') WHERE json_valid(?1)";

static void read_result(const struct attempt *attempt, struct measured *m)
{
	struct rows *rows = db_rows(attempt->db, said, "t", attempt->result);

	if (!rows_next(rows))
		fail(STATUS_UNREADABLE, "the training said nothing that can be read");
	m->model_class = rows_copy(rows, 0);
	m->attention = rows_copy(rows, 1);
	m->torch = rows_copy(rows, 2);
	m->transformers = rows_copy(rows, 3);
	m->milliseconds = rows_number(rows, 4);
	m->parameters = rows_number(rows, 5);
	m->parameter = rows_number(rows, 6);
	m->gradient = rows_number(rows, 7);
	m->optimizer = rows_number(rows, 8);
	m->buffer = rows_number(rows, 9);
	rows_free(rows);
}

static void measure_all(struct work *work)
{
	struct measured *m = work->measured;
	struct attempt attempt;

	m->card = copy_text(main_card(work));
	attempt = attempt_on(work, m->card, endless, "training two steps, simulated",
	                     work->options->value[OPT_OUTPUT]);
	if (attempt.ran_out && attempt.used < endless / 2)
		fail(STATUS_UNREADABLE,
		     "this machine refuses the simulated device more than %s of "
		     "address "
		     "space (ulimit -v, vm.overcommit_memory): it %s",
		     text_size(attempt.used).s, attempt.where);
	if (attempt.ran_out)
		fail(STATUS_UNREADABLE,
		     "it does not fit a device of 4 TiB, the largest that can be "
		     "simulated: it %s",
		     attempt.where);
	read_result(&attempt, m);
	m->bound = copy_text(attempt.bound);
	m->context = attempt.used - attempt.reserved;
	lived_read(attempt.trace, m);
	if (work->options->value[OPT_OUTPUT])
		m->trace = copy_text(attempt.trace);
	attempt_free(&attempt);
}

static int64_t context_of(const struct work *work, const char *properties)
{
	int64_t context = 0;

	for (size_t i = 0; i < work->count; i++)
		if (!strcmp(work->profiles[i].gpu, properties))
			context = work->profiles[i].context_bytes;
	return context;
}

/* What is alive must fit, what is reserved may give way: between them, a run decides. */
static void judge(struct work *work, int index)
{
	const struct card *card = &work->plan->cards[index];
	struct measured *m = work->measured;
	struct measured_card *answer = &m->cards[index];
	const char *own = simulated(work, card), *properties = own ? own : m->card;
	int64_t context = measured_context(work->plan);
	struct attempt attempt;
	char *doing;

	answer->fit = m->reserved + context <= card->bytes    ? MEASURED_YES
	              : m->allocated + context <= card->bytes ? MEASURED_OPEN
	                                                      : MEASURED_NO;
	if (answer->fit == MEASURED_YES || !work->plan->cards_named ||
	    card->bytes < context_of(work, properties) + (INT64_C(64) << 20))
		return;
	doing = format_text("the same on %s", card->name);
	attempt = attempt_on(work, properties, card->bytes, doing, NULL);
	answer->fit = attempt.ran_out ? MEASURED_NO : MEASURED_YES;
	answer->where = copy_text(attempt.where);
	attempt_free(&attempt);
	free(doing);
}

void measure_plan(struct plan *plan, const struct options *options)
{
	struct work work = {.plan = plan, .options = options, .limit = 300};

	if (option_number(options, OPT_TIMEOUT, &work.limit) && !work.limit)
		fail(STATUS_USAGE, "'--timeout' must be at least 1");
	plan->measured = work.measured = allocate(sizeof(*work.measured));
	work.measured->cards =
	        allocate((size_t)plan->card_count * sizeof(*work.measured->cards));
	work.profiles = profiles_load(&work.count);
	write_script(&work);
	measure_all(&work);
	for (int i = 0; i < plan->card_count; i++)
		judge(&work, i);
	profiles_free(work.profiles, work.count);
	free(work.script);
}
