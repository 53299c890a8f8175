/* fuzz_recover.c - a recovery over a ring, spilled records and carried state that anybody may
 * have written. AFL++ runs it once per input.
 *
 * usage: fuzz_recover INPUT          parts.h: ring, spill, and the blobs of carry 1 to 4
 *        fuzz_recover --seed FOLDER  writes inputs to begin with
 * The ring's magic number and layout are put right, so that what comes after them is reached. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "emit.h"
#include "parts.h"
#include "ring.h"
#include "store.h"
#include "writer.h"

enum { SIZE = 4096, CARRIES = 4 };

static char folder[128], trace[160], ring[176];

static void place(void)
{
	snprintf(folder, sizeof(folder), "%s/fuzz-%d", fuzz_folder(), (int)getpid());
	snprintf(trace, sizeof(trace), "%s/x.db", folder);
	snprintf(ring, sizeof(ring), "%s/x.db-ring", folder);
	mkdir(folder, 0700);
}

static void clean(void)
{
	static const char *const suffixes[] = {"", "-ring", "-wal", "-shm", "-journal"};
	char path[192];
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(*suffixes); i++) {
		snprintf(path, sizeof(path), "%s%s", trace, suffixes[i]);
		unlink(path);
	}
	rmdir(folder);
}

static void write_ring(struct part p)
{
	struct tmk_ring_header h = {.magic = 0};
	int fd = open(ring, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || write(fd, p.data, p.size) < 0)
		exit(2);
	memcpy(&h, p.data, p.size < sizeof(h) ? p.size : sizeof(h));
	h.magic = TMK_RING_MAGIC;
	h.layout = tmk_ring_layout();
	h.data_size = SIZE;
	if (pwrite(fd, &h, sizeof(h), 0) < 0)
		exit(2);
	close(fd);
}

static void write_trace(struct part spill, const struct part carry[CARRIES])
{
	char message[300];
	close(open(trace, O_WRONLY | O_CREAT | O_TRUNC, 0600));
	struct tmk_store *s = tmk_store_open(trace, message, sizeof(message));
	if (!s)
		exit(2);
	if (spill.size)
		tmk_store_run(s, TMK_SQL_spill, (const void *)spill.data, spill.size);
	for (int i = 0; i < CARRIES; i++)
		if (carry[i].size)
			tmk_store_run(s, TMK_SQL_carry, (int64_t)i + 1,
			              (const void *)carry[i].data, carry[i].size);
	tmk_store_close(s);
}

static int run(const char *input)
{
	struct part all = read_whole(input), carry[CARRIES];
	struct part of_ring = next_part(&all), spill = next_part(&all);
	for (int i = 0; i < CARRIES; i++)
		carry[i] = next_part(&all);
	char message[300] = "";
	struct tmk_rings r;
	place();
	write_ring(of_ring);
	write_trace(spill, carry);
	if (!tmk_rings_open(&r, ring, true)) {
		tmk_writer_recover(&r, trace, "killed", NULL, message, sizeof(message));
		tmk_rings_close(&r, true);
	}
	clean();
	return 0;
}

/* ---- seeds --------------------------------------------------------------------------- */

static void text(enum tmk_kind kind, int n, const char *a, const char *b, const char *c)
{
	tmk_emit_text(kind, 1, 0, 64, n, (const char *[]){a, b, c});
}

static void event(bool alloc, uint64_t ptr, int64_t bytes, uint8_t phase)
{
	uint32_t size = alloc ? sizeof(struct tmk_rec_event)
	                      : offsetof(struct tmk_rec_event, requested);
	struct tmk_rec_event *e =
	        tmk_begin(alloc ? TMK_REC_ALLOC : TMK_REC_FREE, 0, size);
	if (!e)
		return;
	memset((char *)e + sizeof(e->head), 0, size - sizeof(e->head));
	e->ptr = ptr;
	e->bytes = alloc ? bytes : -bytes;
	e->phase = phase;
	e->flags = TMK_EVENT_NO_TOTAL | TMK_EVENT_GRAD_MODE;
	e->device.type = 1;
	if (alloc)
		e->python = e->native = e->module = e->shape = 1;
	tmk_end(e);
}

static void other_records(void)
{
	struct tmk_rec_pyframe *f = tmk_begin(TMK_REC_PYFRAME, 0, sizeof(*f) + 16);
	f->id = 1;
	f->line = 7;
	memcpy(f->text, "step\0train.py", 14);
	tmk_end(f);
	struct tmk_rec_stack *s = tmk_begin(TMK_REC_PYSTACK, 0, sizeof(*s) + 8);
	s->id = s->depth = 1;
	s->frame[0] = 1;
	tmk_end(s);
	s = tmk_begin(TMK_REC_CSTACK, 0, sizeof(*s) + 8);
	s->id = s->depth = 1;
	s->frame[0] = 0x1234;
	tmk_end(s);
	struct tmk_rec_shape *h = tmk_begin(TMK_REC_SHAPE, 0, sizeof(*h));
	memset((char *)h + sizeof(h->head), 0, sizeof(*h) - sizeof(h->head));
	h->id = h->dims = 1;
	tmk_end(h);
	struct tmk_rec_pointer *p =
	        tmk_begin(TMK_REC_POINTER, TMK_POINTER_GRADIENT, sizeof(*p));
	p->ptr = 4096;
	tmk_end(p);
	struct tmk_rec_tensor *t =
	        tmk_begin(TMK_REC_TENSOR, TMK_TENSOR_PARAMETER, sizeof(*t) + 24);
	memset((char *)t + sizeof(t->head), 0, sizeof(*t) + 24 - sizeof(t->head));
	t->ptr = 4096;
	t->bytes = 512;
	t->device.type = 1;
	memcpy(t->text, "w\0[128]\0float32", 16);
	tmk_end(t);
	struct tmk_rec_segment *g =
	        tmk_begin(TMK_REC_SEGMENT, TMK_SEGMENT_TAKEN, sizeof(*g));
	memset((char *)g + sizeof(g->head), 0, sizeof(*g) - sizeof(g->head));
	g->bytes = 1 << 21;
	g->total_bytes = 1 << 30;
	g->device.type = 1;
	tmk_end(g);
	struct tmk_rec_oom *o = tmk_begin(TMK_REC_OOM, 0, sizeof(*o) + 8);
	memset((char *)o + sizeof(o->head), 0, sizeof(*o) + 8 - sizeof(o->head));
	o->requested = 1 << 20;
	tmk_end(o);
	text(TMK_REC_MODULE, 1, "Linear", "", "");
	text(TMK_REC_OP, 1, "AddmmBackward0", "", "");
	text(TMK_REC_MODNAME, 1, "layers.0", "", "");
	text(TMK_REC_SCOPE, 1, "eval", "", "");
	text(TMK_REC_RUN, 2, "host", "here", "");
	text(TMK_REC_META, 2, "key", "value", "");
	text(TMK_REC_LOST, 2, "scope_names", "what", "");
	text(TMK_REC_CAPABILITY, 3, "oom", "live", "");
	text(TMK_REC_DEVICE, 1, "NVIDIA A100", "", "");
	text(TMK_REC_OOM_MESSAGE, 1, "CUDA out of memory", "", "");
}

static void training(int steps)
{
	event(true, 4096, 512, TMK_OPEN);
	for (int i = 0; i < steps; i++) {
		tmk_emit_boundary(TMK_AT_FORWARD, false, false);
		event(true, 8192, 1024, TMK_OPEN);
		tmk_emit_boundary(TMK_AT_BACKWARD, false, true);
		event(true, 16384, 512, TMK_BACKWARD);
		event(false, 8192, 1024, TMK_BACKWARD);
		tmk_emit_boundary(TMK_AT_BACKWARD_END, false, true);
		tmk_emit_boundary(TMK_AT_STEP, false, false);
		tmk_emit_boundary(TMK_AT_STEP_END, false, false);
		event(false, 16384, 512, TMK_OPEN);
	}
}

static void put(FILE *f, const void *data, uint32_t size)
{
	fwrite(&size, sizeof(size), 1, f);
	fwrite(data, 1, size, f);
}

/* The ring's bytes, and once more as spilled records behind a ring without any. */
static void write_seed(const char *where, const char *name, bool spilled)
{
	char path[300];
	snprintf(path, sizeof(path), "%s/%s", where, name);
	FILE *f = fopen(path, "wb");
	struct part p = read_whole(ring);
	if (!f)
		exit(2);
	uint64_t head = atomic_load(&tmk_rings.ring[0].cursor->head);
	if (spilled)
		memset(p.data + TMK_RING_PAGE, 0, 8); /* the copy's head */
	put(f, p.data, (uint32_t)p.size);
	if (spilled)
		put(f, tmk_rings.ring[0].data, (uint32_t)head);
	fclose(f);
}

static int seed(const char *where)
{
	static const struct {
		const char *name;
		int steps;
		bool others, spilled;
	} seeds[] = {{"training", 3, false, false},
	             {"records", 0, true, false},
	             {"both", 2, true, false},
	             {"spilled", 2, true, true}};
	tmk_clock_init();
	place();
	for (size_t i = 0; i < sizeof(seeds) / sizeof(*seeds); i++) {
		if (tmk_rings_create(&tmk_rings, trace, SIZE))
			return 2;
		atomic_store(&tmk_rings.header->rate, (uint64_t)1 << 32);
		atomic_fetch_add(&tmk_generation, 1);
		tmk_self.ring = NULL;
		if (seeds[i].others)
			other_records();
		training(seeds[i].steps);
		write_seed(where, seeds[i].name, seeds[i].spilled);
		tmk_rings_close(&tmk_rings, true);
	}
	clean();
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "--seed"))
		return seed(argv[2]);
	return argc == 2 ? run(argv[1]) : 2;
}
