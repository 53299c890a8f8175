/* lever_forward.c - levers on forwards that keep what nobody asked them to keep: turns of a loop, and
 * evaluations with gradients.
 * Called from: lever_faults.c. */
#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "layers.h"
#include "match.h"
#include "text.h"
#include "turns.h"

/* Of a turn that something is left of: the act after the last such piece; else the act with which
 * it begins. */
static int32_t turn_made(const struct scene *scene, const struct turns *turns,
                         size_t turn)
{
	const struct script *script = &scene->script;
	int32_t made = turns->begin[turn];
	int32_t end = turn + 1 < turns->count ? turns->begin[turn + 1]
	                                      : (int32_t)script->act_count;

	/* A turn begins with a piece that is taken. */
	for (size_t i = (size_t)script->acts[made];
	     i < script->count && script->pieces[i].taken < end; i++)
		if (script->pieces[i].given < 0 &&
		    turns_leaves(&script->pieces[i], (int)turn))
			made = script->pieces[i].taken + 1;
	return made;
}

/* What turns of a loop in this step leave behind goes; only: of a place alone (-1: of all). held: the
 * program's names hold it until the next turn has made as much; else it goes with its own turn. */
static void let_turns_go(struct scene *scene, const struct turns *turns, bool held,
                         int64_t only)
{
	int32_t *over = allocate((turns->count + 1) * sizeof(*over));

	for (size_t t = 0; t + 1 < turns->count; t++)
		over[t] = held ? turn_made(scene, turns, t + 1) : turns->begin[t + 1];
	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		int turn = turns_of(turns, piece);
		if (turn >= 0 && (size_t)turn + 1 < turns->count &&
		    turns_leaves(piece, turn) && (only < 0 || piece->site == only))
			edit_given_by(&scene->edit, &scene->script, (int32_t)i,
			              over[turn]);
	}
	free(over);
}

/* The same of a loop whose next turns are forecast. */
static void let_loop_go(struct scene *scene, const struct turns *turns, bool held,
                        int64_t only)
{
	struct turns whole;

	turns_find(scene->places, &scene->script, scene->from,
	           (int32_t)scene->script.act_count, &whole);
	let_turns_go(scene, whole.count > turns->count ? &whole : turns, held, only);
	turns_free(&whole);
}

static bool trains(const struct scene *scene)
{
	struct rows *rows =
	        db_rows(scene->trace->db,
	                "SELECT 1 FROM run WHERE optimizer_class NOTNULL", "");
	bool found = rows_next(rows);

	if (found)
		rows_free(rows);
	return found;
}

/* Turns of a first step that keep graphs: forwards before one backward, or a fault? NULL: a
 * fault. */
static const char *may_be_trained(const struct scene *scene, const struct turns *turns)
{
	return turns->gradients && trains(scene) && !scene_trained_before(scene)
	               ? "it is not known whether a backward follows these forwards"
	               : NULL;
}

static bool comes_again(const struct scene *scene, int32_t index, int32_t from)
{
	const struct script *script = &scene->script;
	uint64_t key = match_key(scene->places, script->pieces[index].site, MATCH_LINE);

	for (size_t i = (size_t)index + 1; i < script->count; i++)
		if (script->pieces[i].taken >= from &&
		    match_key(scene->places, script->pieces[i].site, MATCH_LINE) == key)
			return true;
	return false;
}

/* Has a module made something in this step before the first turn that no turn makes? Then the
 * loop is inside a forward: layers that share their weights, time steps of a cell. */
static bool inside_forward(const struct scene *scene, const struct turns *turns)
{
	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		const struct site *site = scene_site(scene, piece);
		if (piece->taken >= scene->from && piece->taken < turns->begin[0] &&
		    piece->phase == PHASE_FORWARD && piece_computed(piece) && site &&
		    site->module && !comes_again(scene, (int32_t)i, turns->begin[0]))
			return true;
	}
	return false;
}

/* Many forwards and no loss: a rollout, an extraction of features. */
static bool rollout(const struct scene *scene, const struct turns *turns)
{
	enum { MANY = 8 };

	return !turns->losses && turns->count >= MANY && !inside_forward(scene, turns);
}

/* Who holds what a turn leaves behind last holds what it was made from. Where most bytes were made in
 * one place outside of modules, and on another line, a second value may hold them (the score of a beam
 * beside its state): that place, which is then let go of alone; else -1. */
static int64_t most_of_turns(const struct scene *scene, const struct turns *turns)
{
	const struct script *script = &scene->script;
	int64_t *bytes = allocate((scene->places->site_count + 1) * sizeof(*bytes));
	int64_t most = -1, newest = script->pieces[turns->newest].site;
	struct line line, last;

	for (size_t i = 0; i < script->count; i++) {
		const struct piece *piece = &script->pieces[i];
		const struct site *site = scene_site(scene, piece);
		int turn = turns_of(turns, piece);
		if (piece->given >= 0 || turn < 0 || (size_t)turn + 1 >= turns->count ||
		    !turns_leaves(piece, turn) || !site || site->module)
			continue;
		bytes[site - scene->places->sites] += piece->bytes;
		if (bytes[site - scene->places->sites] * 2 > turns->kept)
			most = piece->site;
	}
	free(bytes);
	if (most < 0)
		return -1;
	line = scene_line(scene, most);
	last = scene_line(scene, newest);
	if (line_same(&line, &last))
		most = -1;
	line_free(&line);
	line_free(&last);
	return most;
}

static void of_turns(struct scene *scene, const struct turns *turns)
{
	int64_t site, only;
	char *where;
	const char *unsure = may_be_trained(scene, turns), *first = NULL;

	if (turns->count < 2 || turns->newest < 0 ||
	    turns->kept * 20 < scene->oom->moment.allocated ||
	    scene->rest.kind == REST_LIKE_STEP || (unsure && !rollout(scene, turns)) ||
	    (turns->gradients && scene_trained_here(scene)))
		return;
	only = most_of_turns(scene, turns);
	site = only < 0 ? scene->script.pieces[turns->newest].site : only;
	where = scene_where(scene, site);
	if (!unsure && turns->gradients)
		first = unsure = scene_first_training(scene);
	let_loop_go(scene, turns, true, only);
	scene_try(scene,
	          (struct lever){
	                  .id = "stop_leak",
	                  .lever = "keep less of each turn",
	                  .fault = !first,
	                  .cures = true,
	                  .unsure = unsure,
	                  .cost = 1,
	                  .line = scene_line(scene, site),
	                  .change = format_text(
	                          "%s keeps what it makes in each turn: .item(), "
	                          ".detach().cpu(), or let go of it",
	                          where),
	                  .basis = format_text(
	                          "%s from %lld turns of a loop in this step, %s each",
	                          text_size(turns->kept).s, (long long)turns->count - 1,
	                          text_size(turns->rate).s)},
	          true);
	free(where);
}

/* Several forwards before one backward: each with a backward of its own holds one graph. Where no
 * step like this one was complete, one that called the model from the same line tells of the
 * backward, and not whether a turn needs the one before. */
static void backward_each(struct scene *scene, const struct turns *turns)
{
	bool other = scene->rest.kind != REST_LIKE_STEP && scene_trained_before(scene);

	if (turns->count < 2 || !turns->gradients || !turns->losses || !trains(scene) ||
	    turns->kept * 20 < scene->oom->moment.allocated ||
	    (other && !scene_trained_here(scene)))
		return;
	let_loop_go(scene, turns, false, -1);
	scene_try(
	        scene,
	        (struct lever){
	                .id = "backward_each",
	                .lever = "backward per turn",
	                .cost = 1,
	                .fault = true,
	                .cures = true,
	                .unsure = other ? "only if no turn needs what the turn "
	                                  "before it has made"
	                                : NULL,
	                .change = copy_text("call (loss / n).backward() in each turn "
	                                    "instead of backward() on a sum of losses"),
	                .basis = format_text("the graphs of %lld forwards are "
	                                     "alive at once, %s each",
	                                     (long long)turns->count,
	                                     text_size(turns->rate).s)},
	        false);
}

/* Does it compute from one tensor, the one that was there before it? */
static bool of_one_tensor(const struct site *site)
{
	static const char *const known[] = {
	        "_norm",   "clamp_min", "relu", "gelu",  "silu",     "elu",    "tanh",
	        "sigmoid", "softmax",   "mish", "swish", "softplus", "dropout"};

	for (size_t i = 0; site && site->op && i < sizeof(known) / sizeof(*known); i++)
		if (strstr(site->op, known[i]))
			return true;
	return false;
}

/* When a tensor of a forward would go if no graph held it: inside a layer a few tensors later, or
 * once a norm or an activation has made the next of it; what a layer hands on when the next one
 * is done. */
static int32_t end_without_graph(const struct scene *scene,
                                 const struct layer_runs *runs, int32_t piece)
{
	enum { IN_LAYER = 3, ELSEWHERE = 6 };
	size_t count = scene->script.count, run = runs->count, soon;

	for (size_t k = 0; k < runs->count && run == runs->count; k++)
		if (piece >= runs->list[k].first && piece <= runs->list[k].last)
			run = k;
	if (run + 1 < runs->count && piece == runs->list[run].output)
		return runs->list[run + 1].over;
	soon = (size_t)piece + (run < runs->count ? IN_LAYER : ELSEWHERE);
	if ((size_t)piece + 2 < count &&
	    of_one_tensor(scene_site(scene, &scene->script.pieces[piece + 1])))
		soon = (size_t)piece + 2;
	return soon < count ? scene->script.pieces[soon].taken : -1;
}

/* What a kernel makes for the backward alone: without one it is not asked for. cuDNN's reserve
 * space is (torch: RNN.cpp, _cudnn_rnn, fn_train). */
static bool for_backward_alone(const struct site *site)
{
	return site && site->op && site->dtype && !strcmp(site->dtype, "uint8") &&
	       !strcmp(site->op, "aten::_cudnn_rnn");
}

static void free_forward(struct scene *scene)
{
	struct layer_runs runs;

	layers_find(scene, scene->from, &runs);
	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		int32_t end;
		if (piece->taken < scene->from || piece->phase != PHASE_FORWARD ||
		    piece->bucket != BUCKET_ACTIVATION)
			continue;
		if (for_backward_alone(scene_site(scene, piece))) {
			edit_bytes(&scene->edit, (int32_t)i, 0);
			continue;
		}
		end = end_without_graph(scene, &runs, (int32_t)i);
		if (end > piece->taken)
			edit_given_by(&scene->edit, &scene->script, (int32_t)i, end);
	}
	layers_free(&runs);
}

/* Is most of this forward, the pieces from `first` on, made at lines and from callers that the pieces
 * [from, to) have too? */
static bool known_lines(const struct scene *scene, int32_t first, int32_t from,
                        int32_t to)
{
	const struct script *script = &scene->script;
	int32_t count = script->refused_piece - first, known = 0, *found;

	found = match_pieces(scene->places, script, first, script->refused_piece, from,
	                     to, MATCH_STACK);
	for (int32_t i = 0; i < count; i++)
		known += found[i] >= 0;
	free(found);
	return known * 2 > count;
}

/* Is this forward another one than those of complete steps, and is none like it, in this step,
 * followed by a backward? */
static bool is_new(const struct scene *scene)
{
	const struct script *script = &scene->script;
	int32_t first = script->refused_piece, before = 0;

	while (first > 0 && script->pieces[first - 1].taken >= scene->from &&
	       script->pieces[first - 1].phase != PHASE_BACKWARD)
		first--;
	while (before < first && script->pieces[before].taken < scene->from)
		before++;
	return !known_lines(scene, first, 0, before) &&
	       !(before < first && known_lines(scene, first, before, first));
}

/* A forward with gradients that no backward follows: another line than training's, after
 * training; or turns without a backward; or a program without an optimizer. Many turns of a first
 * step that make no loss (a rollout) may be such as well. */
static void no_grad(struct scene *scene, const struct turns *turns)
{
	enum phase_id phase = scene->oom->moment.phase;
	bool training = trains(scene);
	bool evaluates = scene_trained_before(scene) &&
	                 scene->rest.kind != REST_LIKE_STEP && is_new(scene);
	bool loops = turns->count >= 2 && turns->gradients &&
	             scene->rest.kind != REST_LIKE_STEP;
	bool trained = scene_trained_here(scene);
	const char *unsure = may_be_trained(scene, turns), *first = NULL;

	if (phase != PHASE_FORWARD && phase != PHASE_DATA && phase != PHASE_OTHER)
		return;
	if (trained || (unsure && !rollout(scene, turns)))
		loops = false;
	evaluates = evaluates && !trained;
	if (!evaluates && !loops && training)
		return;
	if (evaluates || !unsure)
		first = unsure = scene_first_training(scene);
	free_forward(scene);
	scene_try(
	        scene,
	        (struct lever){
	                .id = "no_grad",
	                .lever = "no_grad",
	                .fault = !first,
	                .cures = true,
	                .unsure = unsure,
	                .cost = 1,
	                .line = scene_line(scene, scene->oom->site),
	                .change = copy_text(
	                        "put this forward under torch.no_grad() if no backward "
	                        "follows it (evaluation, prediction, a teacher)"),
	                .basis = copy_text(
	                        "the forward then keeps nothing for a backward")},
	        false);
}

/* The place of a turn's first piece that has a line of the user's; -1. A backward has none. */
static int64_t first_line(const struct scene *scene, const struct turns *turns,
                          size_t turn)
{
	const struct script *script = &scene->script;

	for (int32_t at = turns->begin[turn]; at < (int32_t)script->act_count; at++) {
		int32_t act = script->acts[at];
		int64_t site = act >= 0 ? script->pieces[act].site : -1;
		struct line line = scene_line(scene, site);
		bool found = line.file != NULL;
		line_free(&line);
		if (found)
			return site;
	}
	return -1;
}

/* Forwards with a backward each, whose graphs stay. */
static void of_backwards(struct scene *scene)
{
	enum { SEVERAL = 3 };
	struct turns turns;
	int64_t site;

	turns_of_backwards(scene->places, &scene->script, scene->from,
	                   scene->rest.first, &turns);
	if (turns.count < 2 || turns.newest < 0 ||
	    turns.kept * 5 < scene->oom->moment.allocated ||
	    scene->rest.kind == REST_LIKE_STEP) {
		turns_free(&turns);
		return;
	}
	site = first_line(scene, &turns, turns.count - 2);
	/* without retain_graph a graph goes with its own backward */
	let_turns_go(scene, &turns, turns.count >= SEVERAL, -1);
	scene_try(
	        scene,
	        (struct lever){
	                .id = "stop_leak",
	                .lever = "let go of each graph",
	                .fault = true,
	                .cures = true,
	                .cost = 1,
	                .line = scene_line(scene, site),
	                .unsure = turns.count < SEVERAL
	                                  ? "one forward alone has left its graph "
	                                    "behind: whether the next does is not "
	                                    "known"
	                                  : NULL,
	                .change = copy_text(
	                        ".detach() what is carried on to the next forward (a "
	                        "hidden state), without retain_graph=True; "
	                        "backward(create_graph=True) ties a parameter and its "
	                        "gradient together for good: torch.autograd.grad(..., "
	                        "create_graph=True) does not, nor does .grad = None "
	                        "when it was used"),
	                .basis = format_text("%s of %lld forwards are kept after their "
	                                     "backward, %s each",
	                                     text_size(turns.kept).s,
	                                     (long long)turns.count - 1,
	                                     text_size(turns.rate).s)},
	        true);
	turns_free(&turns);
}

void levers_forward(struct scene *scene)
{
	struct turns turns;

	turns_find(scene->places, &scene->script, scene->from, scene->rest.first,
	           &turns);
	of_turns(scene, &turns);
	backward_each(scene, &turns);
	no_grad(scene, &turns);
	if (turns.count < 2 && !scene->growth->count)
		of_backwards(scene);
	turns_free(&turns);
}
