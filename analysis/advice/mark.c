/* mark.c - tries a lever: replays the run with its edit, and says whether it is seen to fit, seen
 * to fall short, or not known.
 * Called from: advice/. */
#include <string.h>

#include "heap.h"
#include "scene.h"
#include "text.h"

static double share_used(const struct scene *scene, const struct replayed *replayed)
{
	return (double)replayed->peak_reserved /
	       (double)script_capacity(&scene->script);
}

/* How many steps longer a run goes on that leaks, with so many bytes more. */
static char *delay_text(const struct scene *scene, int64_t bytes)
{
	int64_t rate = growth_rate(scene->growth);

	if (rate < 1 || !scene->growth->count)
		return NULL;
	if (bytes < rate)
		return copy_text("the memory that grows uses that up within one step");
	return format_text("this only delays the end: the run lasts about %lld steps "
	                   "instead of %lld",
	                   (long long)(scene->step + bytes / rate),
	                   (long long)scene->step);
}

/* Of the device, at the most: where holes lie depends on more than an edit tells. */
static const double room_wanted = 0.96;

/* Does it tell of the size of a step? A gradient that is added to another one does not, and an
 * evaluation comes beside some steps. */
static bool counts(const struct scene *scene, const struct piece *piece)
{
	return piece_scales(piece) && piece->phase != PHASE_EVAL &&
	       !scene_weight_like(scene, piece);
}

/* Is this step larger than all before it? Then a larger one may come. */
static bool largest_so_far(const struct scene *scene)
{
	const struct script *script = &scene->script;
	int64_t most = 0, made = 0;

	for (size_t i = 0, s = 0; i < script->count; i++) {
		const struct piece *piece = &script->pieces[i];
		size_t now = script_step_of(script, piece->taken, s);
		if (now > s) {
			most = made > most ? made : most;
			made = 0;
			s = now;
		}
		if (script->steps[s].step == scene->step && piece->taken >= scene->from)
			break;
		made += counts(scene, piece) ? piece->bytes : 0;
	}
	made = 0;
	for (size_t i = 0; i < script->count; i++) {
		const struct piece *piece = &script->pieces[i];
		if (piece->taken >= scene->from && counts(scene, piece) &&
		    (scene->rest.next < 0 || piece->taken < scene->rest.next))
			made += piece->bytes;
	}
	/* Where its pieces are as large as those of the step that it is like, there are more of them. */
	return made > most + (scene->rest.scale > 1 ? most / 100 : most / 20);
}

static bool caps_batch(const struct lever *lever)
{
	return !strcmp(lever->id, "smaller_batch") || !strcmp(lever->id, "accumulate");
}

static void judge_fit(const struct scene *scene, struct lever *lever,
                      const struct replayed *replayed)
{
	double share = share_used(scene, replayed);
	bool close = share > scene->rest.trust || share > room_wanted;
	const char *why = NULL;

	if (scene->growth->count && !lever->cures) {
		int64_t rate = growth_rate(scene->growth);
		/* How many steps were planned nobody knows: a few more help nobody, many may. */
		lever->mark = rate > 0 && lever->saves / rate > scene->step / 2
		                      ? MARK_UNKNOWN
		                      : MARK_SHORT;
		lever->why = delay_text(scene, lever->saves);
		return;
	}
	if (scene->swelling.newest >= 0 && !lever->cures) {
		lever->mark = MARK_UNKNOWN;
		lever->why = copy_text(
		        "this only delays the growth; for how long is not known");
		return;
	}
	if (lever->rough)
		why = "the number of bytes is an estimate";
	else if (lever->unsure)
		why = lever->unsure;
	else if (*scene->rest.why &&
	         !(scene->rest.kind == REST_ITERATION && lever->cures))
		why = scene->rest.why;
	else if (scene->piles_up && !lever->cures)
		why = "two steps have kept memory, and later steps may keep more";
	else if (scene->stages && !lever->ends_stages)
		why = "each stage keeps a model more, and a later one may not fit";
	else if (scene->untrained && !lever->cures)
		why = "one model with an optimizer has not been trained yet";
	else if (scene->rest.kind == REST_FORWARD && !lever->cures)
		why = "what the step would still have allocated after this forward is "
		      "not known";
	else if (scene->rest.kind == REST_LIKE_STEP && share > 0.7 && !lever->cures &&
	         largest_so_far(scene) &&
	         !(caps_batch(lever) && scene_new_batch(scene)))
		why = "steps differ in size, and a later one may be larger";
	else if (close && scene->rest.kind == REST_LIKE_STEP)
		why = "it would be close, and where the holes lie depends on more than "
		      "is known";
	else if (close && scene->rest.kind == REST_DERIVED)
		why = "it would be close, and the rest of a first step is only "
		      "predicted";
	else if (close)
		why = "it would be close, and the rest of this forward is told from "
		      "another";
	lever->mark = why ? MARK_UNKNOWN : MARK_FITS;
	lever->why = copy_text(why);
}

/* Where holes lie depends on more than an edit tells. */
static const double holes_decide = 1.03;

static void mark_lever(const struct scene *scene, const struct replayed *replayed,
                       struct lever *lever)
{
	if (scene->levers->doubt) {
		lever->mark = MARK_UNKNOWN;
		lever->why = copy_text(scene->levers->doubt);
	} else if (replayed->fits) {
		judge_fit(scene, lever, replayed);
	} else if (lever->rough || lever->unsure) {
		lever->mark = MARK_UNKNOWN;
		lever->why =
		        copy_text(lever->unsure ? lever->unsure
		                                : "the number of bytes is an estimate");
	} else if (*scene->rest.why &&
	           (replayed->act >= scene->rest.first ||
	            scene->rest.kind == REST_DERIVED) &&
	           !(scene->rest.kind == REST_ITERATION && lever->cures)) {
		lever->mark = MARK_UNKNOWN;
		lever->why = copy_text(scene->rest.why);
	} else if (scene->rest.kind == REST_DERIVED &&
	           replayed->act >= scene->rest.first &&
	           (double)lever->peak * scene->rest.trust <
	                   (double)script_capacity(&scene->script)) {
		lever->mark = MARK_UNKNOWN;
		lever->why = copy_text("it would be close, and the rest of a first "
		                       "step is only predicted");
	} else if ((double)lever->peak * holes_decide <
	           (double)script_capacity(&scene->script)) {
		lever->mark = MARK_UNKNOWN;
		lever->why = copy_text("there are enough bytes; whether the holes are "
		                       "large enough is not known");
	} else {
		lever->mark = MARK_SHORT;
	}
}

bool scene_fits(struct scene *scene, struct replayed *replayed)
{
	replay_script(&scene->script, &scene->rules, &scene->edit, false, replayed);
	return replayed->fits && share_used(scene, replayed) <= scene->rest.trust;
}

static void place_peak(const struct scene *scene, const struct replayed *replayed,
                       struct lever *lever)
{
	const struct script *script = &scene->script;
	int32_t at = replayed->peak_act, act = at < 0 ? -1 : script->acts[at];

	lever->peak = replayed->peak_allocated;
	lever->peak_step = -1;
	lever->at_least =
	        scene->rest.kind == REST_UNKNOWN || scene->rest.kind == REST_FORWARD;
	for (size_t s = 0; s < script->step_count && script->steps[s].first <= at; s++)
		lever->peak_step = script->steps[s].step;
	if (act >= 0)
		lever->peak_phase = script->pieces[act].phase;
	else
		lever->peak_phase = PHASE_OTHER;
}

void scene_try(struct scene *scene, struct lever lever, bool always)
{
	struct levers *levers = scene->levers;
	struct replayed endless, replayed;

	replay_script(&scene->script, &scene->rules, &scene->edit, true, &endless);
	replay_script(&scene->script, &scene->rules, &scene->edit, false, &replayed);
	place_peak(scene, &endless, &lever);
	lever.saves = scene->base_since - endless.peak_since;
	edit_clear(&scene->edit);
	/* Less than a two-hundredth of the peak is noise. */
	if (lever.saves <= scene->base_peak / 200 && !always) {
		lever_free(&lever);
		return;
	}
	if (lever.saves < 0)
		lever.saves = 0;
	mark_lever(scene, &replayed, &lever);
	lever.reaches = replayed.fits;
	levers->list =
	        grow(levers->list, levers->count, &levers->room, sizeof(*levers->list));
	levers->list[levers->count++] = lever;
}
