/* by_hand.c - see by_hand.h. */
#include "by_hand.h"

#include "../test.h"
#include "settings.h"
#include "temp.h"

struct tmk_model *model;
struct tmk_store *store;
uint64_t total, next_seq;
uint32_t module, stack;
int64_t requested;

void begin(void)
{
	char message[256];
	tmk_settings_read();
	total = next_seq = 0;
	module = stack = 0;
	requested = 0;
	store = tmk_store_open(temp_file("t.db"), message, sizeof(message));
	CHECK(store);
	model = tmk_model_new(store, false);
	CHECK(model);
}

void end(void)
{
	tmk_model_finish(model, "exit");
	tmk_store_commit(store);
	CHECK(!tmk_store_failed(store));
}

void close_all(void)
{
	tmk_model_free(model);
	tmk_store_close(store);
}

/* As the writer does it, but that a step ends at once: no second optimizer here. */
void at(enum tmk_boundary boundary)
{
	struct tmk_rec_boundary r = {
	        .head = {sizeof(r), 1, TMK_REC_BOUNDARY, boundary, next_seq++, 0},
	        .accumulate = 1};
	tmk_model_apply(model, &r.head, (int64_t)next_seq * 1000);
	if (tmk_model_step_may_end(model, &r.head))
		tmk_model_end_step(model, true);
}

void event(enum tmk_kind kind, uint64_t ptr, int64_t bytes, int phase, int flags)
{
	total += (uint64_t)bytes;
	struct tmk_rec_event r = {
	        .head = {sizeof(r), 1, (uint8_t)kind, 0, next_seq++, 0},
	        .ptr = ptr,
	        .bytes = bytes,
	        .allocated = total,
	        .reserved = 1 << 20,
	        .device = {1, 0},
	        .phase = (uint8_t)phase,
	        .flags = (uint8_t)flags,
	        .module = module,
	        .python = stack,
	        .requested = requested ? requested : bytes};
	tmk_model_apply(model, &r.head, (int64_t)next_seq * 1000);
}

/* The events that follow have a stack of one frame. */
void in_frame(uint32_t id, const char *function, const char *file)
{
	struct {
		struct tmk_rec_pyframe head;
		char text[200];
	} f = {{{sizeof(f), 1, TMK_REC_PYFRAME, 0, next_seq++, 0}, .id = id}, ""};
	struct {
		struct tmk_rec_stack head;
		uint64_t frame;
	} s = {{{sizeof(s), 1, TMK_REC_PYSTACK, 0, next_seq++, 0},
	        .id = id,
	        .depth = 1},
	       id};
	snprintf(f.text, sizeof(f.text), "%s%c%s", function, 0, file);
	tmk_model_apply(model, &f.head.head, (int64_t)next_seq * 1000);
	tmk_model_apply(model, &s.head.head, (int64_t)next_seq * 1000);
	stack = id;
}

/* ptr identifies, bytes too: odd and unique */
void take(uint64_t ptr, int64_t bytes, int phase)
{
	event(TMK_REC_ALLOC, ptr, bytes, phase, TMK_EVENT_GRAD_MODE);
}

void take_without_gradients(uint64_t ptr, int64_t bytes)
{
	event(TMK_REC_ALLOC, ptr, bytes, TMK_OPEN, 0);
}

void give(uint64_t ptr, int64_t bytes)
{
	event(TMK_REC_FREE, ptr, -bytes, TMK_OPEN, TMK_EVENT_GRAD_MODE);
}

void point(enum tmk_pointer_code code, uint64_t ptr)
{
	struct tmk_rec_pointer r = {
	        .head = {sizeof(r), 1, TMK_REC_POINTER, code, next_seq++, 0},
	        .ptr = ptr};
	tmk_model_apply(model, &r.head, (int64_t)next_seq * 1000);
}

static void first_int(struct tmk_row *row, void *context)
{
	*(int64_t *)context = tmk_row_int(row, 0);
}

int64_t number(const char *sql)
{
	int64_t n = -4711;
	tmk_store_read(store, sql, first_int, &n);
	return n;
}

static void first_text(struct tmk_row *row, void *context)
{
	const char *text = tmk_row_text(row, 0);
	snprintf(context, 64, "%s", text ? text : "NULL");
}

const char *text(const char *sql)
{
	static char value[64];
	*value = 0;
	tmk_store_read(store, sql, first_text, value);
	return value;
}

const char *phase_of(int64_t bytes)
{
	char sql[256];
	snprintf(sql, sizeof(sql),
	         "SELECT p.name FROM allocation a JOIN site s ON s.id = a.site JOIN "
	         "phase p "
	         "ON p.id = s.phase WHERE a.bytes = %lld ORDER BY a.id LIMIT 1",
	         (long long)bytes);
	return text(sql);
}

const char *bucket_of(int64_t bytes)
{
	char sql[256];
	snprintf(sql, sizeof(sql),
	         "SELECT b.name FROM allocation a JOIN bucket b ON b.id = a.bucket "
	         "WHERE "
	         "a.bytes = %lld ORDER BY a.id LIMIT 1",
	         (long long)bytes);
	return text(sql);
}

/* Setup with one parameter and its state; `shift` moves the addresses of what is short-
 * lived, as a caching allocator does from step to step. */
void setup(void)
{
	take(0x100000, 10001, TMK_OPEN);
	take(0x200000, 20001, TMK_OPEN);
}

void train_step(uint64_t shift)
{
	take(0x300000 + shift, 30001, TMK_OPEN); /* a batch */
	at(TMK_AT_FORWARD);
	point(TMK_POINTER_PARAMETER, 0x100000);
	take(0x400000 + shift, 40001, TMK_OPEN); /* kept for the backward */
	take(0x500000 + shift, 50001, TMK_OPEN); /* and not */
	give(0x500000 + shift, 50001);
	at(TMK_AT_BACKWARD);
	take(0x600000 + shift, 60001, TMK_BACKWARD);
	point(TMK_POINTER_GRADIENT, 0x600000 + shift);
	take(0x700000 + shift, 70001, TMK_BACKWARD);
	give(0x700000 + shift, 70001);
	give(0x400000 + shift, 40001);
	at(TMK_AT_BACKWARD_END);
	take(0x800000 + shift, 80001, TMK_OPEN);
	give(0x800000 + shift, 80001);
	at(TMK_AT_STEP);
	take(0x900000 + shift, 90001, TMK_OPTIMIZER);
	give(0x900000 + shift, 90001);
	give(0x600000 + shift, 60001);
	give(0x300000 + shift, 30001);
	at(TMK_AT_STEP_END);
}
