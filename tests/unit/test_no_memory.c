/* test_no_memory.c - each allocation of the writer's fails once, and each is the first of which
 * none succeeds any more: nothing crashes, and what is not in the trace is counted or said.
 * The linker puts malloc and its kin here in front of libc's, for SQLite too. */
#include "../test.h"
#include "by_hand.h"
#include "settings.h"
#include "store.h"
#include "temp.h"

#include <sqlite3.h>

/* ---- memory that ends ------------------------------------------------------------------ */

enum whose { OURS, SQLITES, WHOSE };

static uint64_t asked[WHOSE], fails_at; /* 0: never */
static enum whose failing, asks;
static bool counts, for_good;

static bool fails(void)
{
	if (!counts)
		return false;
	uint64_t n = ++asked[asks];
	return fails_at && failing == asks &&
	       (n == fails_at || (for_good && n > fails_at));
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *text);
int __real_posix_memalign(void **out, size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *text);
int __wrap_posix_memalign(void **out, size_t alignment, size_t size);

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	return fails() ? NULL : __real_realloc(old, size);
}

char *__wrap_strdup(const char *text)
{
	return fails() ? NULL : __real_strdup(text);
}

int __wrap_posix_memalign(void **out, size_t alignment, size_t size)
{
	return fails() ? 12 : __real_posix_memalign(out, alignment, size);
}

/* SQLite asks by way of these: it asks a hundred times as often as we do. */
static sqlite3_mem_methods theirs;

static void *sqlite_malloc(int size)
{
	asks = SQLITES;
	void *p = theirs.xMalloc(size);
	asks = OURS;
	return p;
}

static void *sqlite_realloc(void *old, int size)
{
	asks = SQLITES;
	void *p = theirs.xRealloc(old, size);
	asks = OURS;
	return p;
}

static void tell_apart(void)
{
	sqlite3_mem_methods ours;
	CHECK(sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0) == SQLITE_OK);
	CHECK(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &theirs) == SQLITE_OK);
	ours = theirs;
	ours.xMalloc = sqlite_malloc;
	ours.xRealloc = sqlite_realloc;
	CHECK(sqlite3_config(SQLITE_CONFIG_MALLOC, &ours) == SQLITE_OK);
}

/* ---- a small run of each kind of record ------------------------------------------------ */

static void apply(struct tmk_record *r, uint16_t thread, enum tmk_kind kind, int code,
                  size_t size)
{
	*r = (struct tmk_record){.size = (uint32_t)size,
	                         .thread = thread,
	                         .kind = (uint8_t)kind,
	                         .code = (uint8_t)code,
	                         .seq = next_seq++};
	tmk_model_apply(model, r, (int64_t)next_seq * 1000);
}

static void say(enum tmk_kind kind, uint32_t id, uint32_t extra, uint64_t address,
                const char *first, const char *second)
{
	struct {
		struct tmk_rec_text head;
		char text[200];
	} r = {{.id = id, .extra = extra, .address = address}, ""};
	snprintf(r.text, sizeof(r.text), "%s%c%s", first, 0, second);
	apply(&r.head.head, 1, kind, 0, sizeof(r));
}

static void segment(enum tmk_segment_code code, uint64_t address, uint64_t bytes)
{
	struct tmk_rec_segment r = {.address = address,
	                            .bytes = bytes,
	                            .free_bytes = 1 << 20,
	                            .total_bytes = 1 << 21,
	                            .device = {1, 0},
	                            .call = "cudaMalloc"};
	apply(&r.head, 1, TMK_REC_SEGMENT, code, sizeof(r));
}

/* Of a thread that the list of loops has to grow for; its backward is of the other's. */
static void backward_elsewhere(uint16_t thread)
{
	struct tmk_rec_boundary r = {.accumulate = 1};
	at(TMK_AT_FORWARD);
	apply(&r.head, thread, TMK_REC_BOUNDARY, TMK_AT_BACKWARD, sizeof(r));
	apply(&r.head, thread, TMK_REC_BOUNDARY, TMK_AT_BACKWARD_END, sizeof(r));
	at(TMK_AT_STEP);
	at(TMK_AT_STEP_END);
}

static void names(void)
{
	struct {
		struct tmk_rec_stack head;
		uint64_t frame[2];
	} native = {.head = {.id = 1, .depth = 2},
	            .frame = {(uint64_t)(uintptr_t)names + 1,
	                      (uint64_t)(uintptr_t)fails + 1}};
	struct tmk_rec_shape shape = {.id = 1, .dtype = 6, .dims = 1, .size = {77}};
	say(TMK_REC_MODULE, 1, 0, 0x7000, "Linear", "");
	say(TMK_REC_MODNAME, 0, 0, 0x7000, "layer.0", "");
	say(TMK_REC_OP, 1, 0, 0, "MmBackward0", "");
	say(TMK_REC_SCOPE, 1, 0, TMK_SCOPE_BUCKET, "activation", "");
	apply(&native.head.head, 1, TMK_REC_CSTACK, 0, sizeof(native));
	apply(&shape.head, 1, TMK_REC_SHAPE, 0, sizeof(shape));
	in_frame(1, "train", "/home/user/train.py");
}

static void refuse(void)
{
	struct {
		struct tmk_rec_oom head;
		char message[8];
	} r = {.head = {.requested = 4711, .device = {1, 0}, .source = "allocator"}};
	apply(&r.head.head, 1, TMK_REC_OOM, 0, sizeof(r));
}

static void save(void)
{
	tmk_model_save(model);
	tmk_store_commit(store);
}

enum { MANY = 1100 }; /* more than a list of the model's begins with */

static void first_part(void)
{
	names();
	segment(TMK_SEGMENT_TAKEN, 0x10000000, 1 << 20);
	module = 1;
	setup();
	train_step(0);
	save();
	backward_elsewhere(30);
	for (uint64_t i = 0; i < MANY; i++)
		take(0x20000000 + (i << 12), 1001 + (int64_t)i, TMK_OPEN);
	train_step(0x1000000);
	backward_elsewhere(90);
	for (uint64_t i = 0; i < 4;
	     i++) { /* of a step that is folded one has no row yet */
		take(0x30000000 + (i << 16), 13001, TMK_OPEN);
		train_step(0);
	}
	save();
}

static void second_part(void)
{
	for (uint64_t i = 0; i < MANY; i++)
		give(0x20000000 + (i << 12), 1001 + (int64_t)i);
	in_frame(2, "evaluate", "/home/user/train.py");
	refuse();
	train_step(0);
	save();
	model->since_size_check = 1000;
	for (int i = 0; i < 3; i++)
		train_step(0x1000000);
	segment(TMK_SEGMENT_GIVEN, 0x10000000, 0);
	segment(TMK_SEGMENT_SAMPLE, 0x10000000, 0);
	backward_elsewhere(200);
}

/* False: it was said that there is no trace. */
static bool begun(const char *path, bool recovered)
{
	char message[256] = "";
	store = tmk_store_open(path, message, sizeof(message));
	if (!store) {
		CHECK(*message);
		return false;
	}
	model = tmk_model_new(store, recovered);
	if (model)
		return true;
	tmk_store_close(store); /* as the writer does, which says so */
	return false;
}

/* ... or that it ended early. */
static bool ended(bool whole)
{
	if (whole)
		tmk_model_finish(model, "exit");
	bool good = tmk_store_commit(store) && !tmk_store_failed(store);
	tmk_model_free(model);
	tmk_store_close(store);
	return good;
}

/* The run up to its kill, and on from what was saved. */
static bool trains(const char *path)
{
	total = next_seq = 0;
	module = stack = 0;
	if (!begun(path, false))
		return false;
	first_part();
	if (!ended(false) || !begun(path, true))
		return false;
	second_part();
	return ended(true);
}

/* ---- what is in a trace ---------------------------------------------------------------- */

/* Steps that repeat are told in full where there was no memory to recognise them: figures. */
static const char *const figures[] = {
        "SELECT id, events, micro_steps, complete FROM step",
        "SELECT step, device, start_allocated, end_allocated, peak_allocated, peak "
        "FROM "
        "step_device",
        "SELECT group_concat(bytes || bucket || phase), sum(blocks), op, shape, module "
        "FROM "
        "v_peak_live",
        "SELECT device, step, phase, bucket, bytes FROM v_step_bucket ORDER BY 1, 2, "
        "3, 4",
        "SELECT bytes, bucket, born_step FROM allocation WHERE died_step IS NULL ORDER "
        "BY 1",
        "SELECT bytes, born_step, died_step FROM segment",
        "SELECT requested_bytes, site IS NULL FROM oom",
        "SELECT kind, function, file FROM frame ORDER BY 1, 2, 3",
        "SELECT class, name FROM module",
        "SELECT dims, dtype FROM shape",
        "SELECT kind, name FROM scope",
        "SELECT name FROM op ORDER BY 1",
        "SELECT count(*), count(python_stack), count(native_stack) FROM site",
        "SELECT count(*) FROM stack",
};

struct content {
	char text[1 << 16];
	size_t used;
	int columns;
};

static void add(struct tmk_row *row, void *context)
{
	struct content *c = context;
	for (int i = 0; i < 6; i++) {
		const char *value = tmk_row_text(row, i);
		c->used +=
		        (size_t)snprintf(c->text + c->used, sizeof(c->text) - c->used,
		                         "%s ", value ? value : "-");
		CHECK(c->used < sizeof(c->text));
	}
}

static int64_t read_back(const char *path, struct content *c)
{
	char message[256];
	c->used = 0;
	store = tmk_store_open(path, message, sizeof(message));
	CHECK(store);
	for (size_t i = 0; i < sizeof(figures) / sizeof(*figures); i++) {
		tmk_store_read(store, figures[i], add, c);
		c->used += (size_t)snprintf(c->text + c->used,
		                            sizeof(c->text) - c->used, "\n");
	}
	int64_t lost = number("SELECT coalesce(sum(count), 0) FROM lost "
	                      "WHERE name <> 'thinned_steps'");
	CHECK(!tmk_store_failed(store));
	tmk_store_close(store);
	return lost;
}

/* The trace's name, and nothing there: in memory, where thousands of runs write one. */
static const char *fresh(void)
{
	static char path[PATH_MAX + 16];
	static const char *const beside[] = {"-wal", "-shm", "-journal", ""};
	if (!*path && !access("/dev/shm", W_OK))
		snprintf(path, sizeof(path), "/dev/shm/tidemark-test-%d.db",
		         (int)getpid());
	else if (!*path)
		snprintf(path, sizeof(path), "%s", temp_path("t.db"));
	for (size_t i = 0; i < sizeof(beside) / sizeof(*beside); i++) {
		char name[sizeof(path) + 16];
		snprintf(name, sizeof(name), "%s%s", path, beside[i]);
		unlink(name);
	}
	return path;
}

static const char *empty(void)
{
	const char *path = fresh();
	FILE *f = fopen(path, "w");
	CHECK(f);
	fclose(f);
	return path;
}

static bool train_counted(const char *path)
{
	memset(asked, 0, sizeof(asked));
	counts = true;
	bool good = trains(path);
	counts = false;
	return good;
}

/* What the trace lacks is counted, or there was a sentence. */
static void one(enum whose whose, uint64_t n, const struct content *whole)
{
	static struct content c;
	const char *path = empty();
	size_t i = 0;
	failing = whose;
	fails_at = n;
	bool good = train_counted(path);
	fails_at = 0;
	int64_t lost = good ? read_back(path, &c) : 1;
	fresh();
	if (lost || (c.used == whole->used && !memcmp(c.text, whole->text, c.used)))
		return;
	while (c.text[i] == whole->text[i])
		i++;
	fprintf(stderr, "  allocation %llu of %s: lost unsaid\n%.200s\n---\n%.200s\n",
	        (unsigned long long)n, whose == OURS ? "ours" : "SQLite's", c.text + i,
	        whole->text + i);
	_exit(1);
}

static void each(enum whose whose, uint64_t stride, bool good_for_nothing)
{
	static struct content whole;
	tell_apart();
	tmk_settings_read();
	tmk_settings.max_size = 1 << 10; /* so small that steps are thinned */
	const char *path = empty();
	CHECK(train_counted(path));
	uint64_t all = asked[whose];
	CHECK(read_back(path, &whole) == 0);
	CHECK(all > 50);
	for_good = good_for_nothing;
	for (uint64_t n = 1; n <= all; n += stride)
		one(whose, n, &whole);
}

TEST("whichever allocation of ours fails, the trace is whole or says what it lacks")
{
	each(OURS, 1, false);
}

TEST("where memory ends for us for good, the trace is whole or says what it lacks")
{
	each(OURS, 1, true);
}

enum { STRIDE = 61 }; /* of SQLite's 22,000: each Nth */

TEST("whichever allocation of SQLite's fails, the trace is whole or says what it lacks")
{
	each(SQLITES, STRIDE, false);
}

TEST("where memory ends for SQLite for good, the trace is whole or says what it lacks")
{
	each(SQLITES, STRIDE, true);
}

TEST_MAIN
