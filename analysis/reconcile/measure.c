/* measure.c - the blocks that were alive at the peak, as items.
 * Called from: reconcile.c. */
#include "reconcile.h"

#include <stdlib.h>
#include <string.h>

#include "dtype.h"
#include "heap.h"
#include "reconcile_queries.h"
#include "text.h"

static bool is_matmul(const char *op)
{
	static const char *const names[] = {"aten::addmm",  "aten::mm",
	                                    "aten::linear", "aten::matmul",
	                                    "aten::bmm",    "aten::baddbmm"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (op && !strcmp(op, names[i]))
			return true;
	return false;
}

static bool has(const char *text, const char *part)
{
	return text && strstr(text, part);
}

static int64_t last_size(const char *dims)
{
	const char *comma = dims ? strrchr(dims, ',') : NULL;
	return comma                    ? strtoll(comma + 1, NULL, 10)
	       : dims && dims[0] == '[' ? strtoll(dims + 1, NULL, 10)
	                                : 0;
}

/* What an activation of a transformer of known shape is for. */
static enum item_role activation_role(const struct reconciled *r, const struct alive *a,
                                      const struct site *site)
{
	const struct shape *shape = &r->recognised->model.shape;
	const struct training *training = &r->recognised->training;
	int64_t last = last_size(site->shape);

	if (!r->recognised->model.known)
		return IN_NOTHING;
	if (has(site->op, "softmax") && last == training->seq && last != shape->vocab)
		return IN_ATTENTION;
	if (has(site->op, "softmax") || has(site->op, "nll_loss") ||
	    last == shape->vocab)
		return IN_LOSS;
	if (has(site->op, "attention"))
		return IN_ATTENTION;
	if (training->autocast && has(site->op, "_to_copy") && site->shape &&
	    last_size(site->shape) * training->batch * training->seq *
	                    element_size(site->dtype) !=
	            a->requested &&
	    !has(site->class, "Norm") && strchr(site->shape, ',') &&
	    strchr(site->shape, ',') == strrchr(site->shape, ','))
		return IN_COPY;
	if (last == shape->ffn || (shape->fused && last == 2 * shape->ffn))
		return IN_FORWARD;
	if (is_matmul(site->op) || last == shape->head_dim)
		return IN_ATTENTION;
	return IN_STREAM;
}

/* What a quantised weight carries along is named 'weight absmax' (hooks/python/enrich.py). */
static bool is_carried(const struct tensor *owner)
{
	return owner && strchr(owner->name, ' ');
}

static enum item_role role_of(const struct reconciled *r, const struct alive *a,
                              const struct site *site, const struct tensor *owner)
{
	size_t length = owner ? strlen(owner->name) : 0;

	switch ((int)a->bucket) {
	case ROW_PARAMETER:
		return is_carried(owner) ? IN_NOTHING : IN_WEIGHT;
	case ROW_GRADIENT:
		return IN_WEIGHT;
	case ROW_OPTIMIZER:
		if (length > 5 && !strcmp(owner->name + length - 5, " step"))
			return IN_COUNTER;
		return !owner && site->shape && !strcmp(site->shape, "[]") ? IN_COUNTER
		                                                           : IN_WEIGHT;
	case ROW_ACTIVATION:
		return activation_role(r, a, site);
	case ROW_INPUT:
		return site->dtype && !strcmp(site->dtype, "int64") ? IN_IDS
		                                                    : IN_NOTHING;
	case ROW_TEMPORARY:
		return has(site->op, "log_softmax_backward") ||
		                       has(site->op, "nll_loss_backward")
		               ? IN_LOSS
		               : IN_NOTHING;
	default:
		return IN_NOTHING;
	}
}

/* What the formula lacks, where it has nothing like this block. */
static enum cause_kind kind_of(const struct site *site, enum row_id row,
                               enum item_role role, const struct tensor *owner)
{
	static const enum cause_kind kinds[] = {[ROW_PARAMETER] = CAUSE_WEIGHT,
	                                        [ROW_BUFFER] = CAUSE_BUFFER,
	                                        [ROW_GRADIENT] = CAUSE_GRADIENT,
	                                        [ROW_OPTIMIZER] = CAUSE_STATE,
	                                        [ROW_ACTIVATION] = CAUSE_KEPT,
	                                        [ROW_INPUT] = CAUSE_INPUT,
	                                        [ROW_TEMPORARY] = CAUSE_TEMPORARY,
	                                        [ROW_WORKSPACE] = CAUSE_WORKSPACE,
	                                        [ROW_COMMUNICATION] =
	                                                CAUSE_COMMUNICATION};
	if (row == ROW_PARAMETER && is_carried(owner))
		return CAUSE_CONSTANT;
	if (role == IN_COUNTER)
		return CAUSE_COUNTER;
	if (row == ROW_ACTIVATION && site->phase == PHASE_RECOMPUTE)
		return CAUSE_RECOMPUTED;
	return kinds[row];
}

/* Which function made a block that no operator names. */
static char *frame_text(const struct reconciled *r, int64_t stack)
{
	size_t count = 0;
	struct frame *frames = stack < 0 ? NULL : stack_frames(r->trace, stack, &count);
	const char *file = count && frames[0].file ? frames[0].file : "";
	const char *base = strrchr(file, '/');
	char *text = NULL;

	if (count && frames[0].function)
		text = format_text("made by %s of %s", frames[0].function,
		                   base ? base + 1 : file);
	frames_free(frames, count);
	return text ? text : copy_text("made by a call whose stack was not recorded");
}

/* "aten::gelu in GELU, [4, 48, 288] float32, forward" */
static char *origin(const struct reconciled *r, const struct site *site)
{
	char *maker = site->op ? copy_text(site->op)
	                       : frame_text(r, site->stack >= 0 ? site->stack
	                                                        : site->native_stack);
	char *text = format_text(
	        "%s%s%s%s%s%s%s, %s", maker, site->class ? " in " : "",
	        site->class ? site->class : "", site->shape ? ", " : "",
	        site->shape ? site->shape : "", site->dtype ? " " : "",
	        site->dtype ? site->dtype : "",
	        site->phase == PHASE_OTHER ? "outside forward, backward and step"
	                                   : trace_phase(r->trace, site->phase));
	free(maker);
	return text;
}

static const char *library_of(const char *op)
{
	if (has(op, "conv"))
		return "cuDNN workspace";
	return op && strstr(op, "attention") ? "attention workspace"
	                                     : "cuBLAS workspace";
}

/* What the last word of a name says: the kind of state, of buffer. */
static const char *last_word(const char *name)
{
	const char *blank = strrchr(name, ' '), *point = strrchr(name, '.');
	return blank ? blank + 1 : point ? point + 1 : name;
}

static char *label_of(const struct reconciled *r, const struct alive *a,
                      const struct site *site, const struct tensor *owner)
{
	char *from, *text;

	if (owner && a->bucket == ROW_OPTIMIZER)
		return !strcmp(last_word(owner->name), "step")
		               ? copy_text("step counters of the optimizer")
		               : format_text("%s of the optimizer",
		                             last_word(owner->name));
	if (owner && a->bucket == ROW_BUFFER)
		return format_text("buffer %s", last_word(owner->name));
	if (owner && a->bucket == ROW_PARAMETER)
		return format_text(
		        is_carried(owner) ? "%s of quantised weights"
		                          : "parameter %s, of no weight's size",
		        is_carried(owner) ? last_word(owner->name) : owner->name);
	if (a->bucket == ROW_WORKSPACE && site->op)
		return format_text("%s of %s", library_of(site->op), site->op);
	from = origin(r, site);
	if (a->bucket == ROW_ACTIVATION && site->phase == PHASE_RECOMPUTE)
		text = format_text("recomputed %s", from);
	else if (a->bucket == ROW_GRADIENT)
		text = format_text("gradient made by %s", from);
	else if (a->bucket == ROW_OPTIMIZER)
		text = format_text("state made by %s", from);
	else if (a->bucket == ROW_BUFFER)
		text = format_text("buffer made by %s", from);
	else
		return from;
	free(from);
	return text;
}

static void round_up(struct row *row, const struct alive *a, int64_t payload)
{
	enum { GRAIN = 512 };
	int64_t grains = (payload + GRAIN - 1) / GRAIN * GRAIN;
	int64_t rounding =
	        (grains < a->block.bytes ? grains : a->block.bytes) - payload;

	if (rounding)
		row_cause(row, CAUSE_ROUNDING, rounding,
		          "blocks are rounded up to 512 B");
	if (a->block.bytes - payload - rounding)
		row_cause(row, CAUSE_UNSPLIT, a->block.bytes - payload - rounding,
		          "rest of a larger free block, too small to split off");
}

/* A weight in bytes of its own is packed, two elements in each. */
static int64_t elements_of(const struct alive *a, const struct site *site,
                           enum item_role role, int64_t bytes)
{
	int64_t width = element_size(site->dtype);
	bool packed = a->bucket == ROW_PARAMETER && role == IN_WEIGHT && site->dtype &&
	              !strcmp(site->dtype, "uint8");

	return packed ? 2 * bytes : bytes / (width ? width : 1);
}

/* What a forward made is placed by its module, what any other phase made by its operator. */
static bool is_bare(const struct site *site, enum row_id row,
                    const struct tensor *owner)
{
	if (owner || (row != ROW_ACTIVATION && row != ROW_TEMPORARY))
		return false;
	return !site->class && (!site->op || site->phase == PHASE_FORWARD);
}

static void add_item(struct reconciled *r, const struct alive *a,
                     const struct site *site, enum row_id row,
                     const struct tensor *owner, int64_t bytes)
{
	enum item_role role = role_of(r, a, site, owner);

	items_add(&r->measured,
	          (struct item){.row = row,
	                        .role = role,
	                        .bytes = bytes,
	                        .elements = elements_of(a, site, role, bytes),
	                        .count = 1,
	                        .label = label_of(r, a, site, owner),
	                        .kind = kind_of(site, row, role, owner),
	                        .bare = is_bare(site, row, owner)});
}

/* The tensors that lie in one block, a flat buffer, one by one. Returns their bytes. */
static int64_t add_parts(struct reconciled *r, const struct alive *a,
                         const struct site *site, int64_t payload,
                         const struct tensor *owner)
{
	int64_t sum = 0;

	for (; owner; owner = places_next(&r->places, &a->block, a->bucket, owner)) {
		if (owner->bytes <= 0 || owner->bytes > payload - sum)
			continue;
		sum += owner->bytes;
		add_item(r, a, site, (enum row_id)a->bucket, owner, owner->bytes);
	}
	return sum;
}

static void add_block(struct reconciled *r, const struct alive *a,
                      const struct site *site)
{
	enum row_id row = a->bucket < 0 || a->bucket > ROW_COMMUNICATION
	                          ? ROW_TEMPORARY
	                          : (enum row_id)a->bucket;
	const struct tensor *owner = places_owner(&r->places, &a->block, a->bucket);
	int64_t payload = a->requested, parts;

	r->rows[row].measured += a->block.bytes;
	r->unseen -= a->block.bytes;
	segment_use(r, &a->block);
	if (payload < 0 && owner && owner->bytes > 0)
		payload = owner->bytes;
	if (payload < 0 || payload > a->block.bytes)
		payload = a->block.bytes;
	round_up(&r->rows[row], a, payload);
	if (owner && row <= ROW_OPTIMIZER && owner->bytes < payload) {
		parts = add_parts(r, a, site, payload, owner);
		if (parts < payload)
			row_cause(&r->rows[row], CAUSE_PADDING, payload - parts,
			          "room between the tensors of a flat buffer");
		return;
	}
	add_item(r, a, site, row, owner, payload);
}

static void visit_block(void *context, const struct alive *alive)
{
	struct reconciled *r = context;
	const struct site *site = places_site(&r->places, alive->site);

	if (site)
		add_block(r, alive, site);
}

void reconcile_measure(struct reconciled *r)
{
	r->unseen = r->point.allocated;
	live_each(r->trace, r->device->id, &r->step, r->point.ordinal, visit_block, r);
	items_merge(&r->measured);
}

void reconcile_absent(struct reconciled *r)
{
	struct rows *rows = db_rows(r->trace->db, sql_absent, "iiiiii", r->device->id,
	                            r->point.step, r->step.first, r->step.last,
	                            r->step.pattern, r->point.ordinal);

	while (rows_next(rows))
		items_add(rows_number(rows, 0) ? &r->later : &r->freed,
		          (struct item){.row = (enum row_id)rows_number(rows, 1),
		                        .role = IN_NOTHING,
		                        .bytes = rows_number(rows, 2),
		                        .count = rows_number(rows, 3),
		                        .label = copy_text(""),
		                        .kind = CAUSE_NEVER});
}
