/* memory_viz.c - a trace as a snapshot of PyTorch's, which torch.cuda._memory_viz and its web
 * viewer open.
 *
 * Source of the format: torch/csrc/cuda/Module.cpp (THCPModule_memorySnapshot), torch/cuda/
 * _memory_viz.py and torch/utils/viz/MemoryViz.js. `size` of an event is the block's, so that the
 * viewer's peak is torch.cuda.max_memory_allocated(); PyTorch writes the request there, which
 * is in `requested_size`. A bucket is the event's category. The viewer fails where there are
 * categories and none is "unknown": the snapshot event has that one.
 * Called from: formats.c. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "calls.h"
#include "export.h"
#include "heap.h"
#include "map.h"
#include "pickle.h"

struct viz {
	struct export *export;
	struct pickle pickle;
	struct places places;
	struct map stacks; /* memos of a pair of stacks */
	struct map frames; /* ... of a frame; and, beside -1, of a site's metadata */
	int64_t started_ns;
	int32_t device; /* whose events are written */
	int64_t listed, last_ns;
	struct act *segments, *blocks; /* alive at the end */
	size_t segment_count, segment_room, block_count, block_room;
	int64_t phase_ns, open_phase, step_end_ns,
	        open_step; /* annotations; -1: none is open */
};

/* PyTorch numbers CUDA's devices; its own converter puts others behind the last. */
static int64_t position(const struct viz *viz, int32_t device)
{
	int64_t behind = 0, number;
	const struct trace *trace = viz->export->trace;

	if (sscanf(trace->devices[device].name, "cuda:%" SCNd64, &number) == 1 &&
	    number >= 0 && number < 1024)
		return number;
	for (size_t i = 0; i < trace->device_count; i++)
		if (sscanf(trace->devices[i].name, "cuda:%" SCNd64, &number) == 1 &&
		    number < 1024 && number >= behind)
			behind = number + 1;
	return behind;
}

static void number(struct viz *viz, enum pickle_word key, int64_t value)
{
	pickle_word(&viz->pickle, key);
	pickle_number(&viz->pickle, value);
}

static void word(struct viz *viz, enum pickle_word key, enum pickle_word value)
{
	pickle_word(&viz->pickle, key);
	pickle_word(&viz->pickle, value);
}

static void time_us(struct viz *viz, int64_t ns)
{
	number(viz, WORD_time_us, (viz->started_ns + ns) / 1000);
}

static void write_frame(struct viz *viz, const struct call *call)
{
	int64_t memo;

	if (map_find(&viz->frames, call->id, 0, &memo)) {
		pickle_again(&viz->pickle, memo);
		return;
	}
	pickle_dict(&viz->pickle);
	pickle_word(&viz->pickle, WORD_name);
	pickle_text(&viz->pickle, call->function ? call->function : "??");
	pickle_word(&viz->pickle, WORD_filename);
	pickle_text(&viz->pickle, call->file ? call->file : "??");
	number(viz, WORD_line, call->line);
	pickle_dict_end(&viz->pickle);
	map_put(&viz->frames, call->id, 0, pickle_keep(&viz->pickle));
}

static void write_frames(struct viz *viz, int64_t id)
{
	const struct site *site = id < 0 ? NULL : places_site(&viz->places, id);
	int64_t stack = site ? site->stack : -1,
	        native = site ? site->native_stack : -1;
	int64_t memo, listed = 0;
	struct call *calls;
	size_t count;

	pickle_word(&viz->pickle, WORD_frames);
	if (map_find(&viz->stacks, stack, native, &memo)) {
		pickle_again(&viz->pickle, memo);
		return;
	}
	calls = calls_load(viz->export->trace, site, &count);
	pickle_list(&viz->pickle);
	for (size_t i = 0; i < count; i++) {
		pickle_list_more(&viz->pickle, &listed);
		write_frame(viz, &calls[i]);
	}
	pickle_list_end(&viz->pickle);
	map_put(&viz->stacks, stack, native, pickle_keep(&viz->pickle));
	calls_free(calls, count);
}

/* The rest of what a site says, as one text: PyTorch's own field for what a program adds. */
static void write_metadata(struct viz *viz, int64_t id)
{
	const struct site *site = id < 0 ? NULL : places_site(&viz->places, id);
	int64_t memo;
	char *text;

	if (!site)
		return;
	pickle_word(&viz->pickle, WORD_user_metadata);
	if (map_find(&viz->frames, -1, id, &memo)) {
		pickle_again(&viz->pickle, memo);
		return;
	}
	text = format_text("%s%s%s%s%s%s%s%s%s%s%s",
	                   trace_phase(viz->export->trace, site->phase),
	                   site->module ? ", " : "", site->module ? site->module : "",
	                   site->op ? ", " : "", site->op ? site->op : "",
	                   site->shape ? ", " : "", site->shape ? site->shape : "",
	                   site->shape ? " " : "", site->shape ? site->dtype : "",
	                   site->scope ? ", in " : "", site->scope ? site->scope : "");
	pickle_text(&viz->pickle, text);
	map_put(&viz->frames, -1, id, pickle_keep(&viz->pickle));
	free(text);
}

static void write_event(struct viz *viz, enum pickle_word action, const struct act *act)
{
	pickle_list_more(&viz->pickle, &viz->listed);
	pickle_dict(&viz->pickle);
	word(viz, WORD_action, action);
	if (act->kind == ACT_REFUSED)
		number(viz, WORD_device_free,
		       act->device_free >= 0 ? act->device_free : 0);
	else
		number(viz, WORD_addr, act->address);
	number(viz, WORD_size, act->bytes);
	number(viz, WORD_stream, 0); /* a trace does not know it */
	time_us(viz, act->time_ns);
	write_frames(viz, act->site);
	if (act->bucket >= 0) {
		pickle_word(&viz->pickle, WORD_category);
		pickle_text(&viz->pickle,
		            trace_bucket(viz->export->trace, act->bucket));
	}
	if (act->requested >= 0)
		number(viz, WORD_requested_size, act->requested);
	write_metadata(viz, act->site);
	pickle_dict_end(&viz->pickle);
	viz->export->events++;
	viz->last_ns = act->time_ns;
}

/* The viewer draws each block inside a segment: one that lies in none gets one of its own. */
static void lone_segment(struct viz *viz, bool taken, const struct act *block)
{
	struct act act = *block;

	if (!block->lone)
		return;
	act.site = act.bucket = act.requested = -1;
	write_event(viz, taken ? WORD_segment_alloc : WORD_segment_free, &act);
}

static void visit(void *context, const struct act *act)
{
	struct viz *viz = context;

	if (act->device != viz->device)
		return;
	if (act->kind == ACT_TAKEN) {
		lone_segment(viz, true, act);
		write_event(viz, WORD_alloc, act);
	} else if (act->kind == ACT_GIVEN) {
		write_event(viz, WORD_free_requested, act);
		write_event(viz, WORD_free_completed, act);
		lone_segment(viz, false, act);
	} else if (act->kind == ACT_SEGMENT_TAKEN) {
		write_event(viz,
		            act->expandable ? WORD_segment_map : WORD_segment_alloc,
		            act);
	} else if (act->kind == ACT_SEGMENT_GIVEN) {
		write_event(viz,
		            act->expandable ? WORD_segment_unmap : WORD_segment_free,
		            act);
	} else if (act->kind == ACT_REFUSED) {
		write_event(viz, WORD_oom, act);
	}
}

static void keep_alive(void *context, const struct act *act)
{
	struct viz *viz = context;

	if (act->device != viz->device)
		return;
	if (act->kind == ACT_TAKEN) {
		viz->blocks = grow(viz->blocks, viz->block_count, &viz->block_room,
		                   sizeof(*viz->blocks));
		viz->blocks[viz->block_count++] = *act;
		return;
	}
	struct act *last =
	        viz->segment_count ? &viz->segments[viz->segment_count - 1] : NULL;
	if (last && last->expandable && act->expandable &&
	    last->device == act->device &&
	    last->address + last->bytes == act->address) {
		last->bytes += act->bytes;
		return;
	}
	viz->segments = grow(viz->segments, viz->segment_count, &viz->segment_room,
	                     sizeof(*viz->segments));
	viz->segments[viz->segment_count++] = *act;
}

static void write_trace(struct viz *viz, struct flow *flow)
{
	viz->listed = 0;
	pickle_list(&viz->pickle);
	flow_run(flow, visit, viz);
	pickle_list_more(&viz->pickle, &viz->listed);
	pickle_dict(&viz->pickle);
	word(viz, WORD_action, WORD_snapshot);
	number(viz, WORD_addr, 0);
	number(viz, WORD_size, 0);
	number(viz, WORD_stream, 0);
	time_us(viz, viz->last_ns);
	write_frames(viz, -1);
	word(viz, WORD_category, WORD_unknown);
	pickle_dict_end(&viz->pickle);
	pickle_list_end(&viz->pickle);
	flow_alive(flow, keep_alive, viz);
}

static void write_traces(struct viz *viz)
{
	struct export *export = viz->export;
	int64_t places[64] = {0}, listed = 0, last = -1;

	for (size_t d = 0; d < export->trace->device_count && d < 64; d++) {
		places[d] = export_wants(export, (int32_t)d) ? position(viz, (int32_t)d)
		                                             : -1;
		last = places[d] > last ? places[d] : last;
	}
	pickle_text(&viz->pickle, "device_traces");
	pickle_list(&viz->pickle);
	for (int64_t at = 0; at <= last; at++) {
		size_t d = 0;
		pickle_list_more(&viz->pickle, &listed);
		while (d < export->trace->device_count && places[d] != at)
			d++;
		viz->device = d < export->trace->device_count ? (int32_t)d : -1;
		if (viz->device < 0) {
			pickle_list(&viz->pickle);
			pickle_list_end(&viz->pickle);
			continue;
		}
		struct flow *flow = flow_new(export->trace, export->from, export->to);
		write_trace(viz, flow);
		export->doubts = flow_doubts(flow); /* each flow has all devices */
		export_unseen(export, flow, d);
		flow_free(flow);
	}
	pickle_list_end(&viz->pickle);
}

/* ---- what was alive at the end -------------------------------------------------------------- */

static void write_block(struct viz *viz, int64_t *listed, int64_t address,
                        int64_t bytes, const struct act *block)
{
	pickle_list_more(&viz->pickle, listed);
	pickle_dict(&viz->pickle);
	number(viz, WORD_address, address);
	number(viz, WORD_size, bytes);
	number(viz, WORD_requested_size,
	       !block                  ? 0
	       : block->requested >= 0 ? block->requested
	                               : block->bytes);
	word(viz, WORD_state, block ? WORD_active_allocated : WORD_inactive);
	write_frames(viz, block ? block->site : -1);
	pickle_dict_end(&viz->pickle);
}

static void write_segment(struct viz *viz, const struct act *segment,
                          const struct act *blocks, size_t count)
{
	int64_t listed = 0, used = 0, asked = 0, at = segment->address;

	for (size_t i = 0; i < count; i++) {
		used += blocks[i].bytes;
		asked += blocks[i].requested >= 0 ? blocks[i].requested
		                                  : blocks[i].bytes;
	}
	pickle_dict(&viz->pickle);
	number(viz, WORD_device, position(viz, segment->device));
	number(viz, WORD_address, segment->address);
	pickle_text(&viz->pickle, "total_size");
	pickle_number(&viz->pickle, segment->bytes);
	pickle_text(&viz->pickle, "allocated_size");
	pickle_number(&viz->pickle, used);
	pickle_text(&viz->pickle, "active_size");
	pickle_number(&viz->pickle, used);
	number(viz, WORD_requested_size, asked);
	number(viz, WORD_stream, 0);
	pickle_text(&viz->pickle, "segment_type");
	pickle_text(&viz->pickle, segment->bytes <= 2 << 20 ? "small" : "large");
	pickle_text(&viz->pickle, "is_expandable");
	pickle_truth(&viz->pickle, segment->expandable);
	write_frames(viz, -1);
	pickle_text(&viz->pickle, "blocks");
	pickle_list(&viz->pickle);
	for (size_t i = 0; i < count; i++) {
		if (blocks[i].address > at)
			write_block(viz, &listed, at, blocks[i].address - at, NULL);
		write_block(viz, &listed, blocks[i].address, blocks[i].bytes,
		            &blocks[i]);
		at = blocks[i].address + blocks[i].bytes;
	}
	if (at < segment->address + segment->bytes)
		write_block(viz, &listed, at, segment->address + segment->bytes - at,
		            NULL);
	pickle_list_end(&viz->pickle);
	pickle_dict_end(&viz->pickle);
}

static bool first_of(const struct viz *viz, const struct act *block,
                     const struct act *segment)
{
	if (block->device != segment->device)
		return position(viz, block->device) < position(viz, segment->device);
	return block->address < segment->address;
}

/* Both lists are in order of the device's position, as they were made, and of address. */
static void write_segments(struct viz *viz)
{
	int64_t listed = 0;
	size_t at = 0, s = 0;

	pickle_text(&viz->pickle, "segments");
	pickle_list(&viz->pickle);
	while (s < viz->segment_count || at < viz->block_count) {
		const struct act *segment =
		        s < viz->segment_count ? &viz->segments[s] : NULL;
		const struct act *block =
		        at < viz->block_count ? &viz->blocks[at] : NULL;
		size_t first = at;
		pickle_list_more(&viz->pickle, &listed);
		if (!segment || (block && first_of(viz, block, segment))) {
			write_segment(viz, block, block, 1); /* it lies in none */
			at++;
			continue;
		}
		while (at < viz->block_count &&
		       viz->blocks[at].device == segment->device &&
		       viz->blocks[at].address + viz->blocks[at].bytes <=
		               segment->address + segment->bytes)
			at++;
		write_segment(viz, segment, viz->blocks + first, at - first);
		s++;
	}
	pickle_list_end(&viz->pickle);
}

/* ---- phases --------------------------------------------------------------------------------- */

static void annotate(struct viz *viz, const char *name, bool start, int64_t ns)
{
	struct export *export = viz->export;

	for (size_t d = 0; d < export->trace->device_count; d++) {
		if (!export_wants(export, (int32_t)d))
			continue;
		pickle_list_more(&viz->pickle, &viz->listed);
		pickle_dict(&viz->pickle);
		word(viz, WORD_stage, start ? WORD_START : WORD_END);
		pickle_word(&viz->pickle, WORD_name);
		pickle_text(&viz->pickle, name);
		number(viz, WORD_device, position(viz, (int32_t)d));
		time_us(viz, ns);
		pickle_dict_end(&viz->pickle);
	}
}

static void end_phase(struct viz *viz, int64_t ns)
{
	if (viz->open_phase >= 0)
		annotate(viz, trace_phase(viz->export->trace, viz->open_phase), false,
		         ns);
	viz->open_phase = -1;
}

static void end_step(struct viz *viz)
{
	char *name = format_text("step %" PRId64, viz->open_step);

	end_phase(viz, viz->step_end_ns);
	if (viz->open_step >= 0)
		annotate(viz, name, false, viz->step_end_ns);
	viz->open_step = -1;
	free(name);
}

static void visit_outline(void *context, const struct act *act)
{
	struct viz *viz = context;
	char *name = format_text("step %" PRId64, act->step);

	if (act->kind == ACT_STEP) {
		end_step(viz);
		annotate(viz, name, true, act->time_ns);
		viz->open_step = act->step;
		viz->step_end_ns = act->end_ns;
	} else {
		end_phase(viz, act->time_ns);
		annotate(viz, trace_phase(viz->export->trace, act->phase), true,
		         act->time_ns);
		viz->open_phase = act->phase;
	}
	free(name);
}

static void write_annotations(struct viz *viz)
{
	struct flow *flow =
	        flow_new(viz->export->trace, viz->export->from, viz->export->to);

	viz->listed = 0;
	viz->open_phase = viz->open_step = -1;
	pickle_text(&viz->pickle, "external_annotations");
	pickle_list(&viz->pickle);
	flow_outline(flow, visit_outline, viz);
	end_step(viz);
	pickle_list_end(&viz->pickle);
	flow_free(flow);
}

void export_memory_viz(struct export *export)
{
	struct viz viz = {.export = export};

	viz.started_ns =
	        db_number(export->trace->db, 0, "SELECT started_unix_ns FROM run");
	places_load(export->trace, "", &viz.places);
	pickle_begin(&viz.pickle, export->out);
	pickle_dict(&viz.pickle);
	write_traces(&viz);
	write_segments(&viz);
	write_annotations(&viz);
	pickle_text(&viz.pickle, "allocator_settings");
	pickle_dict(&viz.pickle);
	pickle_dict_end(&viz.pickle);
	pickle_dict_end(&viz.pickle);
	pickle_end(&viz.pickle);
	map_free(&viz.stacks);
	map_free(&viz.frames);
	places_free(&viz.places);
	free(viz.segments);
	free(viz.blocks);
}
