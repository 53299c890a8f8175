/* alive.c - rows of who was alive: one group of blocks each.
 * Called from: advice/, commands/. */
#include "alive.h"

#include <stdlib.h>
#include <string.h>

#include "frames.h"
#include "text.h"

void group_json(struct trace *trace, struct json *json, const struct group *group)
{
	json_object(json, NULL);
	json_number(json, "bytes", group->bytes);
	json_number(json, "blocks", group->blocks);
	json_text(json, "bucket", group->bucket);
	json_text(json, "phase", group->phase);
	json_text(json, "module", group->module);
	json_text(json, "op", group->op);
	json_text(json, "shape", group->shape);
	json_text(json, "dtype", group->dtype);
	json_text(json, "owner", group->owner);
	json_text(json, "scope", group->scope);
	if (group->largest && group->largest->phase == PHASE_BACKWARD) {
		struct line line = line_forward(trace, group->places, group->largest);
		line_json(json, "forward_line", &line);
		line_free(&line);
	}
	stack_json(trace, json, "stack", group->largest_stack);
	if (group->native_stack >= 0 && group->native_stack != group->largest_stack)
		stack_json(trace, json, "native_stack", group->native_stack);
	json_end(json);
}

/* Where a block was made: the user's own line, else the innermost frame. */
static void cell_frame(struct trace *trace, struct table *table, int64_t stack)
{
	struct line line = line_of(trace, stack);
	char *text = line_text(&line);
	struct frame *frames = NULL;
	size_t count = 0;

	if (line.file) {
		table_cell(table, PLAIN, "%s %s", text,
		           line.function ? line.function : "");
	} else {
		if (stack >= 0)
			frames = stack_frames(trace, stack, &count);
		table_cell(table, PLAIN, "%s", count ? frames[0].function : sign(DASH));
	}
	frames_free(frames, count);
	free(text);
	line_free(&line);
}

/* What a person would call it: the tensor where rows are tensors, else the module or the
 * operator; NULL: none of them is known. */
static const char *label_of(const struct group *group, unsigned by)
{
	bool tensors = by & (BY_SHAPE | BY_OWNER);

	if (group->owner && (tensors || !group->module))
		return group->owner;
	return group->module ? group->module : group->op;
}

/* ... else the line of code. */
static void cell_label(struct trace *trace, struct table *table,
                       const struct group *group, unsigned by)
{
	const char *name = label_of(group, by);
	bool by_stack = by & BY_STACK && !(by & (BY_MODULE | BY_SHAPE));

	if (name && !by_stack)
		table_cell(table, PLAIN, "%s", name);
	else if (!(by & ~(unsigned)(BY_PHASE | BY_BUCKET)))
		table_cell(table, PLAIN, "%s",
		           sign(DASH)); /* no one place made all of it */
	else
		cell_frame(trace, table, group->largest_stack);
}

/* PyTorch's long names, as people say them. */
const char *short_type(const char *dtype)
{
	static const char *const names[][2] = {{"float32", "fp32"},
	                                       {"bfloat16", "bf16"},
	                                       {"float16", "fp16"},
	                                       {"float64", "fp64"}};
	for (int i = 0; i < 4; i++)
		if (!strcmp(dtype, names[i][0]))
			return names[i][1];
	return dtype;
}

/* What a backward made it for: its operator, and the line whose forward it belongs to. */
static void note_backward(struct trace *trace, struct table *table,
                          const struct group *group)
{
	const char *op = group->op;
	struct line line;
	char *text;

	if (!group->largest || group->largest->phase != PHASE_BACKWARD || group->owner)
		return;
	line = line_forward(trace, group->places, group->largest);
	text = line_text(&line);
	op = op && !strncmp(op, "aten::", 6) ? op + 6 : op;
	if (op && line.file)
		table_note(table, 1, "%s, backward of %s", op, text);
	else if (op)
		table_note(table, 1, "%s", op);
	else if (line.file)
		table_note(table, 1, "backward of %s", text);
	free(text);
	line_free(&line);
}

/* Where a tensor's name would be cut for it the phase is left out: most buckets are of one. */
static bool shows_phase(const struct groups *groups, unsigned by, size_t top)
{
	enum { OTHERS = 44 }; /* the other columns, and what stands between them */
	int name = 0, shape = 0;

	if (term.wide || !(by & BY_SHAPE))
		return true;
	for (size_t i = 0; i < groups->count && i < top; i++) {
		const struct group *group = &groups->groups[i];
		const char *label = label_of(group, by);
		int width = label ? text_width(label) : 0;
		name = width > name ? width : name;
		width = group->shape ? text_width(group->shape) + 5 : 0;
		shape = width > shape ? width : shape;
	}
	return name + shape + OTHERS <= term.width;
}

static void print_group(struct trace *trace, struct table *table,
                        const struct group *group, unsigned by, bool with_phase)
{
	const char *phase = group->phase, *bucket = group->bucket;

	table_cell(table, PLAIN, "%s", text_blocks(group->blocks).s);
	cell_label(trace, table, group, by);
	if (group->shape)
		table_cell(table, PLAIN, "%s %s", group->shape,
		           group->dtype ? short_type(group->dtype) : "");
	else
		table_cell(table, PLAIN, "%s", "");
	table_cell(table, PLAIN, "%s", text_size(group->bytes).s);
	table_cell(table, bucket ? bucket_style(bucket) : PLAIN, "%s",
	           bucket ? bucket : sign(DASH));
	if (with_phase)
		table_cell(table, phase ? phase_style(phase) : PLAIN, "%s",
		           phase ? phase : sign(DASH));
	note_backward(trace, table, group);
}

void alive_print(struct trace *trace, const struct groups *groups, unsigned by,
                 size_t top, FILE *out)
{
	bool phase = shows_phase(groups, by, top);
	struct table *table = table_new(phase ? ">~~><<" : ">~~><");
	static const char *const heads[] = {"",     "who was alive", "",
	                                    "size", "bucket",        "phase"};

	for (int i = 0; i < 5 + phase; i++)
		table_cell(table, PLAIN, "%s", heads[i]);
	for (size_t i = 0; i < groups->count && i < top; i++)
		print_group(trace, table, &groups->groups[i], by, phase);
	table_print(table, out, 2, true);
	table_free(table);
}
