/* look.c - one look at a run that goes on.
 *
 * First the ring, by the library; then the trace, by a connection that writes nothing and is
 * closed again before anything is shown, so that no snapshot holds the writer's log for longer
 * than the few rows take: the last step's, found by their keys. No query goes through a whole
 * table, but for what `leaks` knows, which is asked less often the more it costs.
 * Called from: commands/, live/. */
#include "look.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "file.h"
#include "heap.h"
#include "library.h"
#include "live_queries.h"
#include "outlook.h"

int64_t look_clock(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

struct look *look_new(char *path)
{
	struct look *look = allocate(sizeof(*look));

	look->path = path;
	look->pid = look->rank = look->exit_status = -1;
	look->step = look->milli_rate = look->phase = -1;
	look->leaks.from = -1;
	look->library = library_find(look->why, sizeof(look->why));
	return look;
}

void look_free(struct look *look)
{
	free(look->path);
	free(look->library);
	free(look->ended);
	free(look->script);
	free(look->host);
	free(look);
}

bool look_goes_on(const struct look *look)
{
	return !look->ended && look->state != GLANCE_ENDED &&
	       look->state != GLANCE_KILLED;
}

const char *look_phase(const struct look *look)
{
	static const char *const names[PHASES] = {
#define X(id, number, name) [number] = name,
	        SCHEMA_PHASES(X)
#undef X
	};
	return look->phase >= 0 && look->phase < PHASES ? names[look->phase] : NULL;
}

const char *look_bucket(int64_t bucket)
{
	static const char *const names[BUCKETS] = {
#define X(id, number, name) [number] = name,
	        SCHEMA_BUCKETS(X)
#undef X
	};
	return bucket >= 0 && bucket < BUCKETS ? names[bucket] : NULL;
}

struct watched *look_device(struct look *look, const char *name)
{
	struct watched *device;

	for (size_t i = 0; i < look->devices; i++)
		if (!strcmp(look->device[i].name, name))
			return &look->device[i];
	if (look->devices == LOOK_DEVICES)
		return NULL;
	device = &look->device[look->devices++];
	*device = (struct watched){.id = -1,
	                           .total = -1,
	                           .allocated = -1,
	                           .reserved = -1,
	                           .at_ns = -1,
	                           .outside = -1,
	                           .headroom = -1,
	                           .counted = -1,
	                           .fraction = 1};
	snprintf(device->name, sizeof(device->name), "%s", name);
	return device;
}

/* ---- the ring ------------------------------------------------------------------------ */

static void read_line(struct look *look, const char *line)
{
	long long a, b, at;
	char name[40];
	struct watched *device;

	if (sscanf(line, "pid %lld", &a) == 1)
		look->pid = a;
	else if (sscanf(line, "now %lld", &a) == 1)
		look->now_ns = a;
	else if (sscanf(line, "stopped %lld", &a) == 1)
		look->stopped = a != 0;
	else if (sscanf(line, "lost %lld", &a) == 1)
		look->lost = a;
	else if (sscanf(line, "phase %lld", &a) == 1)
		look->phase = a;
	else if (sscanf(line, "device %39s %lld %lld %lld", name, &a, &b, &at) == 4 &&
	         (device = look_device(look, name))) {
		device->allocated = a;
		device->reserved = b;
		device->at_ns = at;
		device->in_ring = true;
		if (a > device->peak)
			device->peak = a;
	}
}

static void look_at_ring(struct look *look)
{
	look->state = GLANCE_FAILED;
	if (!look->library)
		return;
	look->state = glance_at(look->library, look->path, look->glance);
	if (look->state == GLANCE_FAILED) {
		snprintf(look->why, sizeof(look->why), "%.500s", look->glance);
		*look->glance = 0;
		return;
	}
	*look->why = 0;
	for (const char *line = look->glance; *line;) {
		const char *end = strchr(line, '\n');
		read_line(look, line);
		if (!end)
			break;
		line = end + 1;
	}
}

/* ---- the trace ----------------------------------------------------------------------- */

static void replace(char **text, char *with)
{
	free(*text);
	*text = with;
}

static void read_run(struct look *look, struct db *db)
{
	struct rows *rows = db_rows(db, sql_run, "");

	if (!rows_next(rows))
		return;
	look->started_unix_ns = rows_number(rows, 0);
	look->pid = rows_number_or(rows, 1, look->pid);
	look->rank = rows_number_or(rows, 2, -1);
	replace(&look->host, rows_copy(rows, 3));
	replace(&look->script, rows_copy(rows, 4));
	replace(&look->ended, rows_copy(rows, 5));
	look->exit_status = rows_number_or(rows, 6, -1);
	look->simulated = rows_number(rows, 7) == 1;
	rows_free(rows);
	look->schema = file_schema(db);
}

static void read_steps(struct look *look, struct db *db)
{
	struct rows *rows =
	        db_rows(db, "SELECT id, end_ns FROM step ORDER BY id DESC LIMIT 1", "");

	if (rows_next(rows)) {
		look->step = rows_number(rows, 0);
		look->last_ns = rows_number(rows, 1);
		rows_free(rows);
	}
	look->complete = db_number(db, 0,
	                           "SELECT id FROM step WHERE complete = 1 AND id >= 1 "
	                           "ORDER BY id DESC LIMIT 1");
	rows = db_rows(db, sql_pace, "");
	look->milli_rate = -1;
	if (rows_next(rows)) {
		int64_t steps = rows_number(rows, 0), took = rows_number(rows, 1);
		if (steps > 0 && took > 0)
			look->milli_rate =
			        (int64_t)((double)steps * 1e12 / (double)took);
		rows_free(rows);
	}
}

/* What the ring said since is newer than what a step ended with. */
static void read_level(struct look *look, struct db *db, struct watched *device)
{
	struct rows *rows = db_rows(
	        db,
	        "SELECT k.end_allocated, s.end_ns FROM step_device k JOIN step s "
	        "ON s.id = k.step WHERE k.step = ?1 AND k.device = ?2",
	        "ii", look->step, device->id);

	if (rows_next(rows)) {
		if (rows_number(rows, 1) > device->at_ns) {
			device->allocated = rows_number(rows, 0);
			device->at_ns = rows_number(rows, 1);
		}
		rows_free(rows);
	}
	if (!device->in_ring)
		device->reserved = rows_first(db_rows(db,
		                                      "SELECT reserved_bytes FROM "
		                                      "memory_sample WHERE device = "
		                                      "?1 AND reserved_bytes NOTNULL "
		                                      "ORDER BY id DESC LIMIT 1",
		                                      "i", device->id),
		                              -1);
	int64_t peak = rows_first(db_rows(db,
	                                  "SELECT max(peak_allocated) FROM step_device "
	                                  "WHERE step > ?1 AND "
	                                  "device = ?2",
	                                  "ii", device->counted, device->id),
	                          -1);
	device->counted = look->step;
	if (peak > device->peak)
		device->peak = peak;
}

static void read_buckets(struct look *look, struct db *db, struct watched *device)
{
	struct rows *rows = db_rows(db, sql_began, "iit", look->step, device->id,
	                            (const char *)device->name);

	device->bucketed = false;
	while (rows_next(rows)) {
		int64_t bucket = rows_number(rows, 0);
		if (bucket < 0 || bucket >= BUCKETS)
			continue;
		device->began[bucket] = rows_number(rows, 1);
		device->most[bucket] = rows_number(rows, 2);
		device->bucketed |= device->began[bucket] || device->most[bucket];
	}
}

/* What the others use is taken from the card, or PyTorch's share of it; so is what it has. */
static void weigh(struct db *db, struct watched *device)
{
	char key[64];
	int64_t most;

	device->outside = outlook_outside(db, device->id);
	device->headroom = -1;
	snprintf(key, sizeof(key), "memory_fraction.%s", device->name);
	char *text = rows_first_text(db_rows(
	        db, "SELECT value FROM meta WHERE key = ?1", "t", (const char *)key));
	double fraction = text ? strtod(text, NULL) : 1;
	free(text);
	device->fraction = fraction > 0 && fraction < 1 ? fraction : 1;
	if (device->total <= 0 || device->outside < 0 || device->allocated < 0)
		return;
	most = device->total - device->outside;
	if ((double)most > device->fraction * (double)device->total)
		most = (int64_t)(device->fraction * (double)device->total);
	device->headroom = most > device->allocated ? most - device->allocated : 0;
}

static void read_devices(struct look *look, struct db *db)
{
	struct rows *rows = db_rows(
	        db,
	        "SELECT id, name, product, total_bytes FROM device d WHERE "
	        "EXISTS (SELECT 1 FROM step_device WHERE step = ?1 AND device = "
	        "d.id) OR ?1 < 0 ORDER BY kind = 'cpu', id",
	        "i", look->step);
	while (rows_next(rows)) {
		struct watched *device = look_device(look, rows_text(rows, 1));
		if (!device)
			continue;
		device->id = rows_number(rows, 0);
		device->total = rows_number_or(rows, 3, -1);
		const char *product = rows_text(rows, 2);
		snprintf(device->product, sizeof(device->product), "%s",
		         product ? product : "");
	}
	for (size_t i = 0; i < look->devices; i++) {
		struct watched *device = &look->device[i];
		if (device->id < 0)
			device->id = rows_first(
			        db_rows(db, "SELECT id FROM device WHERE name = ?1",
			                "t", (const char *)device->name),
			        -1);
		if (device->id < 0)
			continue;
		read_level(look, db, device);
		read_buckets(look, db, device);
		weigh(db, device);
	}
}

static void forget_time(struct look *look)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	int64_t since =
	        (int64_t)now.tv_sec * 1000000000 + now.tv_nsec - look->started_unix_ns;
	look->now_ns = since > look->last_ns ? since : look->last_ns;
}

/* Where the ring cannot be asked, the process can, if it ran on this machine. */
static void ask_process(struct look *look)
{
	char here[256] = "";

	if (look->state != GLANCE_FAILED || look->ended || !look->host ||
	    look->pid <= 0 || gethostname(here, sizeof(here) - 1) ||
	    strcmp(here, look->host) != 0)
		return;
	if (kill((pid_t)look->pid, 0) && errno == ESRCH)
		look->state = GLANCE_KILLED;
}

bool look_now(struct look *look, char *why, size_t size)
{
	int64_t began = look_clock();
	struct db *db;

	look->now_ns = -1;
	look_at_ring(look);
	db = file_open(look->path, why, size);
	if (!db)
		return false;
	read_run(look, db);
	read_steps(look, db);
	read_devices(look, db);
	db_close(db);
	ask_process(look);
	/* Without the ring's clock the calendar's has to do. */
	if (look->now_ns < 0)
		forget_time(look);
	look->cost_ns = look_clock() - began;
	return true;
}
