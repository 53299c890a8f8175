/* tell.c - changes as sentences, on the screen and in JSON.
 * Called from: diff.c, judge.c. */
#include <stdlib.h>
#include <string.h>

#include "changes.h"
#include "heap.h"
#include "text.h"

/* "12 blocks [8, 1024] float32" */
static char *blocks_text(const struct thing *thing, int64_t blocks)
{
	const char *shape = thing->shape ? thing->shape : "";
	const char *dtype = thing->dtype ? thing->dtype : "";

	return format_text("%s%s%s%s%s", text_plural(blocks, "block").s,
	                   *shape ? " " : "", shape, *dtype ? " " : "", dtype);
}

/* " in h.*.mlp (12 of them), made at model.py:16 by aten::gelu"; "" where nothing is known. */
static char *where_text(const struct change *change, const struct thing *thing)
{
	const char *name = change->places > 1 ? change->pattern : thing->place;
	char *many =
	        change->places > 1 && name
	                ? format_text(" (%s of them)", text_count(change->places).s)
	                : copy_text("");
	char *line = thing->file ? format_text(", made at %s:%lld", thing->file,
	                                       (long long)thing->line)
	                         : copy_text("");
	char *text =
	        format_text("%s%s%s%s%s%s", name ? " in " : "", name ? name : "", many,
	                    line, thing->op ? " by " : "", thing->op ? thing->op : "");

	free(many);
	free(line);
	return text;
}

static char *more_text(const struct change *change, const char *where)
{
	char *blocks = blocks_text(&change->b, change->b_blocks), *text;

	if (change->a_blocks != change->b_blocks)
		text = format_text("B has %s%s; A has %s", blocks, where,
		                   text_count(change->a_blocks).s);
	else
		text = format_text("B has %s%s: %s, in A %s", blocks, where,
		                   text_size(change->b_bytes).s,
		                   text_size(change->a_bytes).s);
	free(blocks);
	return text;
}

static char *both_text(const struct change *change, const char *where)
{
	char *a = blocks_text(&change->a, change->a_blocks);
	char *b = blocks_text(&change->b, change->b_blocks), *text;

	if (change->kind == CHANGE_BUCKET)
		text = format_text("%s%s%s as %s in A and as %s in B", b, where,
		                   change->b_blocks == 1 ? " counts" : " count",
		                   change->a.bucket, change->b.bucket);
	else
		text = format_text("B has %s%s; A has %s there", b, where, a);
	free(a);
	free(b);
	return text;
}

char *change_text(const struct change *change)
{
	bool only_a = change->kind == CHANGE_ONLY_A;
	const struct thing *thing = only_a ? &change->a : &change->b;
	char *where = where_text(change, thing), *blocks, *text;

	switch (change->kind) {
	case CHANGE_ONLY_A:
	case CHANGE_ONLY_B:
		blocks = blocks_text(thing,
		                     only_a ? change->a_blocks : change->b_blocks);
		text = thing->place || thing->file || thing->shape
		               ? format_text("only %c has %s%s", only_a ? 'A' : 'B',
		                             blocks, where)
		               : format_text("only %c has memory of which the trace "
		                             "does not know more",
		                             only_a ? 'A' : 'B');
		free(blocks);
		break;
	case CHANGE_ROUNDING:
		text = format_text(
		        "the allocator handed out blocks of another size for "
		        "%s that both have",
		        text_plural(change->b_blocks, "tensor").s);
		break;
	case CHANGE_MORE:
		text = more_text(change, where);
		break;
	default:
		text = both_text(change, where);
	}
	free(where);
	return text;
}

char *dimension_text(const struct dimension *dimension)
{
	bool batch = dimension->index == 0;
	char *name = batch ? copy_text("batch")
	                   : format_text("dimension %d of what a step is given",
	                                 dimension->index + 1);
	char *text = format_text("%s %lld %s %lld: %s changed in that alone", name,
	                         (long long)dimension->a, sign(BECOMES),
	                         (long long)dimension->b,
	                         text_plural(dimension->places, "shape").s);

	free(name);
	return text;
}

bool change_counts(const struct change *change)
{
	return change->bytes || change->kind == CHANGE_BUCKET;
}

struct small signed_size(int64_t bytes)
{
	struct small text = text_size(bytes < 0 ? -bytes : bytes);

	if (bytes && strlen(text.s) + 1 < sizeof(text.s)) {
		memmove(text.s + 1, text.s, strlen(text.s) + 1);
		*text.s = bytes < 0 ? '-' : '+';
	}
	return text;
}

static void print_line(int64_t bytes, const char *bucket, const char *text, int indent,
                       FILE *out)
{
	enum { SIZE = 11, BUCKET = 14 };

	fprintf(out, "%*s%s%*s%s  %s%s%s%*s", indent, "",
	        bytes > 0   ? style(RED)
	        : bytes < 0 ? style(GREEN)
	                    : "",
	        SIZE, bytes ? signed_size(bytes).s : "", bytes ? style(PLAIN) : "",
	        style(bucket_style(bucket)), bucket, style(PLAIN),
	        BUCKET - text_width(bucket) > 1 ? BUCKET - text_width(bucket) : 1, "");
	text_wrap(out, text, indent + SIZE + 2 + BUCKET, indent + SIZE + 2 + BUCKET);
}

static const char *bucket_of(const struct change *change)
{
	return change->kind == CHANGE_ONLY_A ? change->a.bucket : change->b.bucket;
}

void changes_print(const struct changes *changes, int64_t top, int indent, FILE *out)
{
	int64_t shown = 0, left = 0, bytes = 0;

	if (changes->dimension.a) {
		char *text = dimension_text(&changes->dimension);
		print_line(changes->dimension.bytes, "", text, indent, out);
		free(text);
	}
	for (size_t i = 0; i < changes->count; i++) {
		const struct change *change = &changes->list[i];
		char *text;
		if (change->batch || !change_counts(change))
			continue;
		if (shown >= top) {
			left++;
			bytes += change->bytes;
			continue;
		}
		shown++;
		text = change_text(change);
		print_line(change->bytes, bucket_of(change), text, indent, out);
		free(text);
	}
	if (left)
		fprintf(out, "%*s%sand %s more, together %s; --top N shows them%s\n",
		        indent + 2, "", style(DIM), text_plural(left, "change").s,
		        signed_size(bytes).s, style(PLAIN));
}

static const char *const kinds[] = {
        [CHANGE_MORE] = "count",       [CHANGE_SHAPE] = "shape",
        [CHANGE_DTYPE] = "dtype",      [CHANGE_BUCKET] = "bucket",
        [CHANGE_ONLY_A] = "only a",    [CHANGE_ONLY_B] = "only b",
        [CHANGE_ROUNDING] = "rounding"};

static void thing_json(const struct thing *thing, bool there, int64_t bytes,
                       int64_t blocks, const char *key, struct json *json)
{
	if (!there) {
		json_null(json, key);
		return;
	}
	json_object(json, key);
	json_number(json, "bytes", bytes);
	json_number(json, "blocks", blocks);
	json_text(json, "bucket", thing->bucket);
	json_text(json, "phase", thing->phase);
	json_text(json, "place", thing->place);
	json_text(json, "op", thing->op);
	json_text(json, "shape", thing->shape);
	json_text(json, "dtype", thing->dtype);
	json_text(json, "file", thing->file);
	json_known(json, "line", thing->line);
	json_end(json);
}

static void change_json(const struct change *change, struct json *json)
{
	char *text = change_text(change);

	json_object(json, NULL);
	json_text(json, "kind", kinds[change->kind]);
	json_number(json, "change_bytes", change->bytes);
	json_number(json, "places", change->places);
	json_text(json, "pattern", change->pattern);
	json_truth(json, "by_dimension", change->batch);
	thing_json(&change->a, change->kind != CHANGE_ONLY_B, change->a_bytes,
	           change->a_blocks, "a", json);
	thing_json(&change->b, change->kind != CHANGE_ONLY_A, change->b_bytes,
	           change->b_blocks, "b", json);
	json_text(json, "sentence", text);
	json_end(json);
	free(text);
}

void changes_json(const struct changes *changes, const char *key, struct json *json)
{
	const struct dimension *dimension = &changes->dimension;

	if (dimension->a) {
		json_object(json, "dimension");
		json_text(json, "name", dimension->index ? "other" : "batch");
		json_number(json, "index", dimension->index);
		json_number(json, "a", dimension->a);
		json_number(json, "b", dimension->b);
		json_number(json, "change_bytes", dimension->bytes);
		json_number(json, "shapes", dimension->places);
		json_end(json);
	} else {
		json_null(json, "dimension");
	}
	json_array(json, key);
	for (size_t i = 0; i < changes->count; i++)
		change_json(&changes->list[i], json);
	json_end(json);
}
