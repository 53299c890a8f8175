/* claims.c - the batch and the sequence, as the shapes of a step tell them.
 * Called from: recognise.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "recognise.h"
#include "recognise_queries.h"
#include "walk.h"

enum { DIMS = 4 };

/* The sizes of "[4, 48, 72]"; their number. */
static int read_dims(const char *dims, int64_t *sizes)
{
	int count = 0;
	const char *at = dims && *dims ? dims + 1 : "";

	while (count < DIMS && *at >= '0' && *at <= '9') {
		char *end;
		sizes[count++] = strtoll(at, &end, 10);
		at = end + strspn(end, ", ");
	}
	return count;
}

static bool is_integer(const char *dtype)
{
	return dtype && (!strcmp(dtype, "int64") || !strcmp(dtype, "int32"));
}

/* What a shape says, if anything. Ids and stream say the same where a model is given whole
 * batches; of each kind the largest is asked, and the next ones that differ from it. */
static bool claim_of(const struct recognised *recognised, const char *dims,
                     const char *dtype, int64_t bucket, struct claim *claim)
{
	const struct model *model = &recognised->model;
	int64_t sizes[DIMS];
	int count = read_dims(dims, sizes);

	*claim = (struct claim){.peak = -1};
	if (count < 1 || sizes[0] < 1)
		return false;
	if (model->known && count == 3 && sizes[2] == model->shape.hidden &&
	    !is_integer(dtype))
		claim->kind = CLAIM_STREAM;
	else if (model->known && count == 2 && is_integer(dtype))
		claim->kind = CLAIM_IDS;
	else if (!model->known && bucket == BUCKET_INPUT)
		claim->kind = CLAIM_INPUT;
	else
		return false;
	claim->batch = sizes[0];
	claim->seq = claim->kind == CLAIM_INPUT ? 0 : sizes[1];
	snprintf(claim->from, sizeof(claim->from), "%s %s", dims, dtype ? dtype : "");
	return claim->kind == CLAIM_INPUT || claim->seq > 0;
}

static void add_claim(struct recognised *recognised, const struct claim *claim)
{
	for (int i = 0; i < recognised->claim_count; i++) {
		const struct claim *other = &recognised->claims[i];
		if (other->batch == claim->batch && other->seq == claim->seq)
			return;
		if (other->kind == CLAIM_INPUT)
			return; /* the largest alone */
	}
	if (recognised->claim_count < CLAIMS)
		recognised->claims[recognised->claim_count++] = *claim;
}

static void read_claims(struct recognised *recognised, struct rows *rows)
{
	struct claim claim;

	while (rows_next(rows))
		if (claim_of(recognised, rows_text(rows, 0), rows_text(rows, 1),
		             rows_number(rows, 2), &claim))
			add_claim(recognised, &claim);
}

/* Labels are as long as the ids, or one shorter where the caller shifted them. */
static bool rows_agree(const struct claim *claim, int64_t rows)
{
	return claim->seq && claim->batch <= INT64_MAX / claim->seq &&
	       (rows == claim->batch * claim->seq ||
	        rows == claim->batch * (claim->seq - 1));
}

static void read_loss(const struct step_rows *seen, struct recognised *recognised)
{
	struct rows *rows = db_rows(seen->trace->db, sql_loss_rows, "iii", seen->device,
	                            seen->first, seen->last);
	int64_t sizes[DIMS];

	if (!rows_next(rows))
		return;
	if (read_dims(rows_text(rows, 0), sizes) == 2)
		recognised->loss_rows = sizes[0];
	rows_free(rows);
	for (int i = 0; recognised->loss_rows && i < recognised->claim_count; i++)
		recognised->claims[i].rows_agree =
		        rows_agree(&recognised->claims[i], recognised->loss_rows);
}

void claims_read(const struct step_rows *seen, struct recognised *recognised)
{
	int64_t first = recognised->model.known ? BUCKET_ACTIVATION : BUCKET_INPUT;

	read_claims(recognised, db_rows(seen->trace->db, sql_step_shapes, "iiii",
	                                seen->device, seen->first, seen->last, first));
	/* Made before the loop, or before the first forward. */
	if (!recognised->claim_count || recognised->model.known)
		read_claims(recognised, db_rows(seen->trace->db, sql_input_shapes, "i",
		                                seen->device));
	read_loss(seen, recognised);
}

/* What a training with this batch and sequence would have at its peak, in bytes; -1. */
static int64_t peak_with(const struct recognised *recognised, const struct claim *claim)
{
	struct training tried;
	struct model model;
	struct formula formula;
	struct walk walk;
	char why[128];
	bool whole = recognised_whole(recognised, &model, &tried), walked;

	tried.batch = claim->batch;
	tried.seq = claim->seq;
	walked = whole && walk_training(&model, &tried, 0, &walk);
	model_free(&model);
	if (walked)
		return walk_worst(&walk)->peak.bytes;
	if (formula_compute(&recognised->model, &tried, &formula, why, sizeof(why)))
		return -1;
	return formula.total;
}

/* Ids of which a loop cuts the last off for the model, and the first for the labels: what the model
 * ran on is one shorter. */
static bool is_cut_of(const struct claim *stream, const struct claim *ids)
{
	return stream->kind == CLAIM_STREAM && ids->kind == CLAIM_IDS &&
	       stream->batch == ids->batch && stream->seq == ids->seq - 1;
}

/* How far a claim is from the bytes; those that the loss has the rows of come first. Where two would
 * have the same bytes, within a hundredth, what came in says it better than what was made of it. */
static bool better(const struct claim *a, const struct claim *b, int64_t measured)
{
	if (a->rows_agree != b->rows_agree)
		return a->rows_agree;
	if (is_cut_of(a, b) || is_cut_of(b, a))
		return a->kind == CLAIM_STREAM;
	if (a->peak < 0 || b->peak < 0)
		return a->peak >= 0;
	if (llabs(a->peak - b->peak) <= measured / 100)
		return a->kind < b->kind;
	return llabs(a->peak - measured) < llabs(b->peak - measured);
}

void claims_choose(struct recognised *recognised, int64_t measured)
{
	struct claim *claims = recognised->claims;
	const struct claim *best;

	if (!recognised->claim_count)
		return;
	recognised->taken = 0;
	for (int i = 0; recognised->claim_count > 1 && i < recognised->claim_count; i++)
		claims[i].peak = peak_with(recognised, &claims[i]);
	for (int i = 1; i < recognised->claim_count; i++)
		if (better(&claims[i], &claims[recognised->taken], measured))
			recognised->taken = i;
	best = &claims[recognised->taken];
	recognised->training.batch = best->batch;
	recognised->batch_known = true;
	recognised->seq_known = best->seq > 0;
	if (best->seq)
		recognised->training.seq = best->seq;
	memcpy(recognised->batch_from, best->from, sizeof(best->from));
}
