/* replay.c - events a second of the what-if engine's replay.
 *
 * replay [EVENTS] [SIZES]: a script of so many events (default 10 M) in requests of so many
 * sizes, as a run of training has them: most blocks are given back soon, in another order
 * than they were taken, some live for long. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "heap.h"
#include "replayed.h"

static uint64_t state = 88172645463325252u;

static uint64_t draw(uint64_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state % below;
}

/* Seconds of the processor: others may be busy beside it. */
static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int64_t size_of(uint64_t number)
{
	return number % 3 ? (int64_t)(number * 7919 % 1900 + 1) * 512
	                  : (int64_t)(number * 104729 % 60 + 1) * ((int64_t)1 << 20);
}

static void write_script(struct script *script, size_t events, uint64_t sizes)
{
	enum { ALIVE = 600 };
	int32_t alive[ALIVE];
	size_t count = 0;

	script_begin(script, 0);
	while (script->act_count < events) {
		if (count < ALIVE && (count < ALIVE / 2 || draw(2))) {
			alive[count++] = script_take(
			        script, (struct piece){.bytes = size_of(draw(sizes)),
			                               .requested = -1});
			continue;
		}
		size_t at = draw(8) ? count - 1 - draw(count < 40 ? count : 40)
		                    : draw(count);
		script_give(script, alive[at]);
		alive[at] = alive[--count];
	}
}

static void measure(const struct script *script, struct rules *rules,
                    const struct edit *edit, const char *what)
{
	struct replayed replayed;
	double begin = now(), seconds;

	replay_script(script, rules, edit, false, &replayed);
	seconds = now() - begin;
	printf("%-24s %8.2f M events/s  %7.3f s for %zu, peak %lld of %lld MiB\n", what,
	       (double)script->act_count / seconds * 1e-6, seconds, script->act_count,
	       (long long)replayed.peak_allocated >> 20,
	       (long long)replayed.peak_reserved >> 20);
}

int main(int argc, char **argv)
{
	size_t events = argc > 1 ? strtoull(argv[1], NULL, 10) : 10000000;
	uint64_t sizes = argc > 2 ? strtoull(argv[2], NULL, 10) : 400;
	struct script script = {.total = (int64_t)80 << 30,
	                        .outside = 0,
	                        .limit = INT64_MAX,
	                        .refused_piece = -1};
	struct rules rules;
	struct edit edit;

	write_script(&script, events, sizes);
	rules = (struct rules){.max_split = INT64_MAX,
	                       .max_non_split_rounding = 20 << 20};
	measure(&script, &rules, NULL, "as it was");
	edit_begin(&script, &edit);
	for (size_t i = 0; i < script.count; i += 10)
		edit_bytes(&edit, (int32_t)i, script.pieces[i].bytes / 2);
	measure(&script, &rules, &edit, "every tenth block halved");
	edit_free(&edit);
	rules.expandable = true;
	measure(&script, &rules, NULL, "expandable segments");
	script_free(&script);
	return 0;
}
