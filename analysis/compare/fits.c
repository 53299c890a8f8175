/* fits.c - would a run fit on a card?
 *
 * As `simulate` derives one card from another: what the run's device had in use at most, with the
 * context of the other card, and a twentieth for scratch memory that comes with another number of
 * multiprocessors. Between what was alive and what was reserved a replay of the run on the model
 * of PyTorch's allocator decides, where the model agrees with the trace.
 * Called from: commands/check.c. */
#include <stdlib.h>
#include <string.h>

#include "growth.h"
#include "heap.h"
#include "judge.h"
#include "replayed.h"
#include "text.h"
#include "trace_queries.h"
#include "whole.h"

struct need {
	struct trace *trace;
	const struct device *device;
	const struct card *card, *ran; /* ran: the card that was run; NULL: not known */
	struct point peak;
	int64_t reserved; /* at most */
	int64_t context; /* of the card; with what else of the process is not PyTorch's */
	int64_t slack;   /* either way */
	double fraction; /* of the card that the program lets PyTorch take */
	bool assumed;    /* the context */
};

static const struct card *card_of(const struct device *device)
{
	const struct card *card = NULL;
	char *names = NULL;

	if (device->product && card_find(device->product, &card, &names) != CARD_KNOWN)
		card = NULL;
	free(names);
	return card;
}

/* What was in use beside PyTorch's own, but for the context: libraries' memory comes along. */
static int64_t beside(const struct need *need)
{
	int64_t used = -1, outside;
	struct rows *rows =
	        db_rows(need->trace->db, sql_most_used, "i", need->device->id);

	if (rows_next(rows)) {
		used = rows_number_or(rows, 1, -1);
		rows_free(rows);
	}
	if (used < 0 || !need->ran)
		return 0;
	outside = used - need->reserved - need->ran->context;
	return outside > 0 ? outside : 0;
}

static bool load(struct trace *trace, const struct device *device,
                 const struct card *card, struct need *need)
{
	*need = (struct need){.trace = trace, .device = device, .card = card};
	if (!trace_peak(trace, device->id, -1, &need->peak))
		return false;
	need->ran = card_of(device);
	need->reserved = rows_first(
	        db_rows(trace->db,
	                "SELECT max(peak_reserved) FROM step_device WHERE device = ?1",
	                "i", device->id),
	        0);
	if (need->reserved < need->peak.allocated)
		need->reserved = need->peak.allocated;
	need->assumed = card->context <= 0;
	need->context = (need->assumed ? CARD_CONTEXT : card->context) + beside(need);
	if (!need->ran || strcmp(need->ran->name, card->name) != 0)
		need->slack = (need->reserved + need->context) / 20;
	need->fraction = trace_memory_fraction(trace, device);
	return true;
}

/* Bytes that PyTorch may have of the card. */
static int64_t room_of(const struct need *need, int64_t slack)
{
	int64_t room = need->card->bytes - need->context - slack;
	int64_t limit = (int64_t)((double)need->card->bytes * need->fraction);
	return limit < room ? limit : room;
}

/* Runs it again on the model of the allocator, with that much room. */
static enum judged replay(const struct need *need, char *why, size_t size)
{
	struct script script;
	struct rules rules;
	struct agreement agreement;
	struct replayed full, cautious;
	enum judged judged = JUDGE_UNKNOWN;

	replay_load(need->trace, need->device, -1, &rules, &script, &agreement);
	if (script.incomplete || !agreement.agrees || rules.unknown ||
	    !agreement.samples) {
		snprintf(why, size, "%s",
		         script.incomplete ? script.incomplete
		         : *agreement.why
		                 ? agreement.why
		                 : "the trace has no sample of reserved bytes");
		script_free(&script);
		return JUDGE_UNKNOWN;
	}
	if (rules.allowed && script.total > 0)
		rules.allowed = whole_of((double)rules.allowed / (double)script.total *
		                         (double)need->card->bytes);
	script.outside = 0;
	script.limit = INT64_MAX;
	script.total = room_of(need, need->slack);
	replay_script(&script, &rules, NULL, false, &cautious);
	script.total = room_of(need, 0);
	replay_script(&script, &rules, NULL, false, &full);
	if (cautious.fits)
		judged = JUDGE_PASSED;
	else if (!full.fits)
		judged = JUDGE_FAILED;
	else
		snprintf(why, size, "it fits by less than another card may differ by");
	script_free(&script);
	return judged;
}

static char *needs_text(const struct need *need)
{
	bool size = !need->card->product;
	char *card =
	        format_text("%s%s%s", size ? "a card" : need->card->name,
	                    size ? " of " : " with ", text_size(need->card->bytes).s);
	char *text = format_text(
	        "%s reserved at most (%s alive) and %s beside it (the context, %s), on "
	        "%s",
	        text_size(need->reserved).s, text_size(need->peak.allocated).s,
	        text_size(need->context).s,
	        need->assumed ? "assumed" : "as this card has it when simulated", card);

	free(card);
	return text;
}

static enum judged decide(const struct need *need, const char **basis, char **how)
{
	char why[256] = "";
	enum judged judged;

	*basis = "measured";
	if (need->reserved <= room_of(need, need->slack)) {
		*how = copy_text("as measured in this run");
		return JUDGE_PASSED;
	}
	if (need->peak.allocated > room_of(need, -need->slack)) {
		*how = copy_text("what was alive at the peak is more than there is");
		return JUDGE_FAILED;
	}
	judged = replay(need, why, sizeof(why));
	*basis = judged == JUDGE_UNKNOWN ? NULL : "replayed";
	*how = judged == JUDGE_UNKNOWN
	               ? format_text("more is reserved than there is, and what the "
	                             "allocator would give back is not known: %s",
	                             why)
	               : format_text("replayed on PyTorch's allocator%s",
	                             judged == JUDGE_PASSED
	                                     ? ", which gives cached memory back"
	                                     : ": refused");
	return judged;
}

/* "; but 1.00 MiB more is kept with every step", or "": it would not fit for ever. */
static char *growth_text(struct trace *trace, const struct device *device)
{
	struct places places;
	struct growth growth;
	char *text;

	places_load(trace, device->name, &places);
	growth_load(trace, &places, device, -1, &growth);
	text = growth.count ? format_text("; but %s more is kept with every step",
	                                  text_size(growth_rate(&growth)).s)
	                    : copy_text("");
	growth_free(&growth);
	places_free(&places);
	return text;
}

void judge_fits(const struct defendant *run, const struct device *device,
                const struct card *card, struct conditions *conditions)
{
	struct condition *condition;
	struct need need;
	const char *basis, *verdict;
	char *how, *needs, *text, *grows;
	enum judged judged;

	if (!strcmp(device->name, "cpu")) {
		judge_put(conditions, "fits", device, JUDGE_UNKNOWN,
		          copy_text("not known: the run used no card, only the CPU"));
		return;
	}
	if (!load(run->trace, device, card, &need))
		return;
	judged = decide(&need, &basis, &how);
	/* A run that was refused, or cut off, says what it had and not what it needed. */
	if (judged == JUDGE_PASSED && run->doubt)
		judged = JUDGE_UNKNOWN;
	verdict = judged == JUDGE_PASSED   ? "fits"
	          : judged == JUDGE_FAILED ? "does not fit"
	                                   : "not known";
	needs = needs_text(&need);
	grows = judged == JUDGE_PASSED ? growth_text(run->trace, device)
	                               : copy_text("");
	text = run->doubt && judged == JUDGE_UNKNOWN
	               ? format_text("%s, because %s; so far: %s", verdict, run->doubt,
	                             needs)
	               : format_text("%s: %s; %s%s", verdict, needs, how, grows);
	condition = judge_put(conditions, "fits", device, judged, text);
	condition->basis = basis;
	condition->value = need.reserved + need.context;
	condition->limit = card->bytes;
	condition->next = judged == JUDGE_PASSED ? "peak" : "oom";
	free(needs);
	free(how);
	free(grows);
}
