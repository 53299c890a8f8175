/* scene.c - a refused run that levers are tried on.
 *
 * A lever is an edit of the run's acts, replayed on the model of PyTorch's allocator to the
 * end of the step and of the next one. It fits if the replay gets there and all of it is
 * known; it falls short if it is refused again; what is not known is said.
 * Called from: advice/. */
#include "scene.h"

#include <stdlib.h>
#include <string.h>

#include "advice_queries.h"
#include "heap.h"
#include "text.h"
#include "whole.h"

static struct shape shape_of(const char *text)
{
	struct shape shape = {0};

	while (text && *text && shape.count < DIMENSIONS) {
		char *end;
		int64_t number = strtoll(text + 1, &end, 10);
		if (end == text + 1)
			break;
		shape.of[shape.count++] = number;
		text = end;
	}
	return shape;
}

static size_t site_index(const struct scene *scene, const struct site *site)
{
	return (size_t)(site - scene->places->sites);
}

const struct site *scene_site(const struct scene *scene, const struct piece *piece)
{
	return places_site(scene->places, piece->site);
}

const struct tensor *scene_owner(const struct scene *scene, const struct piece *piece)
{
	struct block block = {.address = piece->address,
	                      .bytes = piece->bytes,
	                      .born_step = piece->step,
	                      .died_step = -1,
	                      .born = piece->ordinal,
	                      .died = -1};

	return piece->address < 0 ? NULL
	                          : places_owner(scene->places, &block, piece->bucket);
}

const struct shape *scene_shape(const struct scene *scene, const struct piece *piece)
{
	static const struct shape none;
	const struct site *site = scene_site(scene, piece);

	return site ? &scene->shapes[site_index(scene, site)] : &none;
}

bool scene_weight_like(const struct scene *scene, const struct piece *piece)
{
	const struct site *site = scene_site(scene, piece);

	return site && scene->weight_like[site_index(scene, site)];
}

bool scene_passing_gradient(const struct scene *scene, const struct piece *piece)
{
	return piece->bucket == BUCKET_GRADIENT && piece->phase == PHASE_BACKWARD &&
	       scene->largest_parameter && piece->bytes > 2 * scene->largest_parameter;
}

static void find_largest_parameter(struct scene *scene)
{
	for (size_t i = 0; i < scene->script.count; i++)
		if (scene->script.pieces[i].bucket == BUCKET_PARAMETER &&
		    scene->script.pieces[i].bytes > scene->largest_parameter)
			scene->largest_parameter = scene->script.pieces[i].bytes;
}

int32_t scene_next_step(const struct scene *scene, int32_t step)
{
	for (size_t s = 0; s < scene->script.step_count; s++)
		if (scene->script.steps[s].step > step)
			return scene->script.steps[s].first;
	return -1;
}

int scene_layer(const char *module, int64_t *index)
{
	if (module && *module >= '0' && *module <= '9') { /* an nn.Sequential itself */
		char *end;
		*index = strtoll(module, &end, 10);
		return !*end || *end == '.' ? 0 : -1;
	}
	for (const char *at = module; at && (at = strchr(at, '.')); at++) {
		size_t digits = strspn(at + 1, "0123456789");
		if (!digits || (at[1 + digits] && at[1 + digits] != '.'))
			continue;
		*index = strtoll(at + 1, NULL, 10);
		return (int)(at - module);
	}
	return -1;
}

int scene_by_text(const void *left, const void *right)
{
	return strcmp(*(const char *const *)left, *(const char *const *)right);
}

int scene_by_number(const void *left, const void *right)
{
	int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;

	return (a > b) - (a < b);
}

bool scene_was_there(const struct scene *scene, const struct piece *piece)
{
	return piece->taken < scene->rest.first &&
	       (piece->given < 0 || piece->given >= scene->rest.first);
}

/* Weights of a model that has no names yet, or of a copy of one, count as input: of a shape there
 * are as many blocks as a step has gradients, or several and no more than that. */
static bool unnamed_weights(const struct scene *scene, const struct site *site)
{
	size_t inputs = 0, gradients = 0, most = 0;
	int32_t step = -1;

	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		const struct site *other = scene_site(scene, piece);
		if (!other || !other->shape || strcmp(other->shape, site->shape) != 0)
			continue;
		gradients = piece->step == step ? gradients : 0;
		step = piece->step;
		gradients += piece->bucket == BUCKET_GRADIENT;
		most = gradients > most ? gradients : most;
		if (piece->taken < scene->from || piece->bucket != BUCKET_INPUT)
			continue;
		if (other != site)
			return false;
		inputs += piece->given < 0;
	}
	return inputs && (inputs == most || (inputs > 1 && inputs <= most));
}

/* Marks the places of weights, gradients and states, and keeps their shapes of two dimensions and
 * more, sorted. */
static void mark_weights(struct scene *scene)
{
	size_t room = scene->places->site_count + 1;

	scene->weight_shapes = allocate(room * sizeof(*scene->weight_shapes));
	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		const struct site *site = scene_site(scene, piece);
		bool weight = piece->bucket == BUCKET_PARAMETER ||
		              piece->bucket == BUCKET_GRADIENT ||
		              piece->bucket == BUCKET_OPTIMIZER ||
		              piece->bucket == BUCKET_BUFFER;
		if (!site || !site->shape || !weight ||
		    scene_passing_gradient(scene, piece) ||
		    scene->weight_like[site_index(scene, site)])
			continue;
		scene->weight_like[site_index(scene, site)] = true;
		if (scene->shapes[site_index(scene, site)].count > 1)
			scene->weight_shapes[scene->weight_shape_count++] = site->shape;
	}
	if (scene->weight_shape_count)
		qsort(scene->weight_shapes, scene->weight_shape_count,
		      sizeof(*scene->weight_shapes), scene_by_text);
}

bool scene_shape_of_weight(const struct scene *scene, const struct site *site)
{
	return site->shape && scene->weight_shape_count &&
	       bsearch(&site->shape, scene->weight_shapes, scene->weight_shape_count,
	               sizeof(*scene->weight_shapes), scene_by_text);
}

/* Shapes of weights have nothing to do with the batch, whatever numbers are in them. */
static void find_weights(struct scene *scene)
{
	const struct places *places = scene->places;

	mark_weights(scene);
	for (size_t i = 0; i < places->site_count; i++) {
		const struct site *site = &places->sites[i];
		bool may = site->phase == PHASE_BACKWARD || site->phase == PHASE_DATA;
		if (may && scene_shape_of_weight(scene, site) &&
		    (site->phase == PHASE_BACKWARD || unnamed_weights(scene, site) ||
		     (site->op && !strcmp(site->op, "aten::clone"))))
			scene->weight_like[i] = true;
	}
}

static void prepare(struct scene *scene)
{
	const struct places *places = scene->places;
	const struct script *script = &scene->script;
	scene->shapes = allocate((places->site_count + 1) * sizeof(*scene->shapes));
	scene->weight_like = allocate(places->site_count + 1);
	for (size_t i = 0; i < places->site_count; i++)
		scene->shapes[i] = shape_of(places->sites[i].shape);
	if (script->step_count) {
		const struct stretch *last = &script->steps[script_refused(script)];
		scene->step = last->step;
		scene->from = last->first;
	}
	find_largest_parameter(scene);
	find_weights(scene);
}

static const char *const told_from[] = {[REST_UNKNOWN] = NULL,
                                        [REST_LIKE_STEP] = "step",
                                        [REST_ITERATION] = "turn",
                                        [REST_FORWARD] = "forward",
                                        [REST_DERIVED] = "what is trained"};

/* Of the models that have names and an optimizer: does one have neither gradients nor states
 * after a step? Its turn (a generator's, every third step) is still to come. */
static bool has_untrained(struct trace *trace)
{
	return rows_first(db_rows(trace->db, sql_untrained, ""), 0) > 0;
}

void scene_load(struct trace *trace, const struct places *places,
                const struct growth *growth, const struct oom *oom,
                struct levers *levers, struct scene *scene)
{
	const struct device *device = oom->moment.device;
	struct agreement agreement;
	struct replayed replayed;

	*scene = (struct scene){.trace = trace,
	                        .places = places,
	                        .growth = growth,
	                        .oom = oom,
	                        .levers = levers};
	replay_load(trace, device, oom->id, &scene->rules, &scene->script, &agreement);
	prepare(scene);
	swelling_find(places, &scene->script, &scene->swelling);
	rest_forecast(trace, places, device, scene->weight_like, &scene->script,
	              &scene->rest);
	scene->untrained = has_untrained(trace);
	edit_begin(&scene->script, &scene->edit);
	replay_script(&scene->script, &scene->rules, NULL, true, &replayed);
	scene->base_peak = replayed.peak_allocated;
	scene->base_since = replayed.peak_since;
	levers->peak = replayed.peak_allocated;
	levers->samples = agreement.samples;
	levers->differing = agreement.differing;
	if (scene->rules.unknown)
		levers->doubt = copy_text(scene->rules.unknown);
	else if (scene->script.incomplete)
		levers->doubt = copy_text(scene->script.incomplete);
	else if (!agreement.agrees)
		levers->doubt =
		        copy_text(*agreement.why ? agreement.why
		                                 : "the replay differs from the run");
	levers->told_from = told_from[scene->rest.kind];
	levers->told_step = scene->rest.like;
	if (*scene->rest.why)
		levers->unknown = copy_text(scene->rest.why);
}

void scene_free(struct scene *scene)
{
	edit_free(&scene->edit);
	script_free(&scene->script);
	free(scene->shapes);
	free(scene->weight_like);
	free(scene->weight_shapes);
}

bool scene_trained_before(const struct scene *scene)
{
	for (size_t s = 0; s < scene->script.step_count; s++)
		if (scene->script.steps[s].complete)
			return true;
	return false;
}

const char *scene_first_training(const struct scene *scene)
{
	const struct script *script = &scene->script;
	struct rows *rows = db_rows(scene->trace->db, sql_learning, "");
	bool found = false;

	while (rows_next(rows)) {
		const char *module = rows_text(rows, 0);
		for (int32_t i = script->refused_piece; i >= 0 && module && !found;
		     i--) {
			const struct piece *piece = &script->pieces[i];
			const struct site *site = scene_site(scene, piece);
			if (piece->taken < scene->from ||
			    piece->phase == PHASE_BACKWARD)
				break;
			found = site && site->module && !strcmp(site->module, module);
		}
	}
	return found ? "a part of this forward has not been trained yet: its first "
	               "backward may follow"
	             : NULL;
}

bool scene_new_batch(const struct scene *scene)
{
	for (size_t i = 0; i < scene->script.count; i++) {
		const struct piece *piece = &scene->script.pieces[i];
		const struct shape *shape = scene_shape(scene, piece);
		if (piece->taken < scene->from && piece->step >= 1 &&
		    piece->bucket == BUCKET_INPUT && shape->count &&
		    shape->of[0] == scene->batch)
			return false;
	}
	return scene->batch > 0;
}

struct line scene_line(const struct scene *scene, int64_t id)
{
	const struct site *site = places_site(scene->places, id);
	struct line line = line_of(scene->trace, site ? site->stack : -1);

	if (line.file || !site || site->phase != PHASE_BACKWARD)
		return line;
	line_free(&line);
	return line_forward(scene->trace, scene->places, site);
}

char *scene_where(const struct scene *scene, int64_t id)
{
	struct line line = scene_line(scene, id);
	const struct site *site = places_site(scene->places, id);
	char *text = line.file ? line_text(&line)
	                       : copy_text(site && site->op ? site->op : "?");

	if (line.file && site && site->phase == PHASE_BACKWARD && site->stack < 0) {
		char *of = format_text("the backward of %s", text);
		free(text);
		text = of;
	}
	line_free(&line);
	return text;
}

void lever_free(struct lever *lever)
{
	free(lever->change);
	free(lever->basis);
	free(lever->why);
	free(lever->target);
	free(lever->verified.phase);
	free(lever->verified.why);
	line_free(&lever->line);
}
