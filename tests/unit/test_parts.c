/* test_parts.c - tables of numbers, interning, the live table, places and settings. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include "../test.h"
#include "intern.h"
#include "live.h"
#include "place.h"
#include "settings.h"
#include "tables.h"
#include "temp.h"

/* ---- tables of numbers --------------------------------------------------------------- */

TEST("a number that was never set is 0, and one that no table gives out is not kept")
{
	struct tmk_column c = {0};
	CHECK(tmk_column_get(&c, 5) == 0);
	tmk_column_set(&c, 5000, 7);
	CHECK(tmk_column_get(&c, 5000) == 7 && tmk_column_get(&c, 4999) == 0);
	tmk_column_set(&c, UINT32_MAX, 9);
	CHECK(tmk_column_get(&c, UINT32_MAX) == 0 && tmk_column_get(&c, 5000) == 7);
	tmk_column_free(&c);
}

TEST("a key keeps its number while the map grows around it, 0 too")
{
	struct tmk_map m = {0};
	for (uint64_t key = 0; key < 30000; key++)
		*tmk_map_at(&m, key * 4096) = (uint32_t)key + 1;
	for (uint64_t key = 0; key < 30000; key++)
		CHECK(*tmk_map_at(&m, key * 4096) == (uint32_t)key + 1);
	CHECK(*tmk_map_at(&m, 123) == 0);
	tmk_map_free(&m);
}

/* ---- interning ----------------------------------------------------------------------- */

TEST("a content has no number until it is added, then always the same")
{
	CHECK(tmk_intern_init() == 0);
	CHECK(tmk_intern_find(TMK_TABLE_SHAPE, 77, 5) == 0);
	uint32_t id = tmk_intern_new(TMK_TABLE_SHAPE);
	CHECK(id);
	tmk_intern_add(TMK_TABLE_SHAPE, 77, 5, id);
	CHECK(tmk_intern_find(TMK_TABLE_SHAPE, 77, 5) == id);
	CHECK(tmk_intern_find(TMK_TABLE_SHAPE, 77, 6) == 0);
	CHECK(tmk_intern_find(TMK_TABLE_MODULE, 77, 5) == 0);
}

TEST("contents whose first hashes are equal are told apart by the second")
{
	CHECK(tmk_intern_init() == 0);
	tmk_intern_add(TMK_TABLE_OP, 123, 1, 10);
	tmk_intern_add(TMK_TABLE_OP, 123, 2, 20);
	CHECK(tmk_intern_find(TMK_TABLE_OP, 123, 1) == 10);
	CHECK(tmk_intern_find(TMK_TABLE_OP, 123, 2) == 20);
}

TEST("a full table says so and still finds what it has")
{
	uint32_t id = 1, last = 0;
	CHECK(tmk_intern_init() == 0);
	for (uint64_t i = 1; (id = tmk_intern_new(TMK_TABLE_CSTACK)); i++) {
		tmk_intern_add(TMK_TABLE_CSTACK, tmk_mix(i, 3), i, id);
		last = (uint32_t)i;
	}
	CHECK(last > 100000);
	CHECK(tmk_intern_new(TMK_TABLE_CSTACK) == 0);
	for (uint64_t i = 1; i <= last; i++)
		CHECK(tmk_intern_find(TMK_TABLE_CSTACK, tmk_mix(i, 3), i));
}

static void *intern_many(void *arg)
{
	(void)arg;
	for (uint64_t i = 1; i < 20000; i++) {
		uint64_t hash = tmk_mix(i, 3), check = tmk_mix(i, 4);
		if (!tmk_intern_find(TMK_TABLE_PYSTACK, hash, check))
			tmk_intern_add(TMK_TABLE_PYSTACK, hash, check,
			               tmk_intern_new(TMK_TABLE_PYSTACK));
	}
	return NULL;
}

TEST("threads that intern the same contents at once agree on a number each")
{
	pthread_t thread[4];
	CHECK(tmk_intern_init() == 0);
	for (int i = 0; i < 4; i++)
		CHECK(!pthread_create(&thread[i], NULL, intern_many, NULL));
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	for (uint64_t i = 1; i < 20000; i++) {
		uint32_t id = tmk_intern_find(TMK_TABLE_PYSTACK, tmk_mix(i, 3),
		                              tmk_mix(i, 4));
		CHECK(id && id == tmk_intern_find(TMK_TABLE_PYSTACK, tmk_mix(i, 3),
		                                  tmk_mix(i, 4)));
	}
}

/* ---- the live table ------------------------------------------------------------------ */

TEST("an allocation is found by its address, its device and any address inside it")
{
	struct tmk_live_table t = {0};
	bool existed;
	struct tmk_live *l = tmk_live_add(&t, 1, 0x10000, &existed);
	CHECK(l && !existed);
	l->bytes = 10001;
	CHECK(tmk_live_find(&t, 1, 0x10000)->bytes == 10001);
	CHECK(!tmk_live_find(&t, 2, 0x10000));
	CHECK(tmk_live_around(&t, 0x10000 + 10000)->ptr == 0x10000);
	CHECK(!tmk_live_around(&t, 0x10000 + 10001));
	CHECK(!tmk_live_around(&t, 0xffff));
	tmk_live_free(&t);
}

TEST("an address that is handed out again without a free is reported")
{
	struct tmk_live_table t = {0};
	bool existed;
	CHECK(tmk_live_add(&t, 0, 64, &existed) && !existed);
	CHECK(tmk_live_add(&t, 0, 64, &existed) && existed);
	CHECK(t.count == 1);
	tmk_live_free(&t);
}

TEST("a hundred thousand births and deaths in disorder leave exactly what is alive")
{
	enum { N = 100000 };
	struct tmk_live_table t = {0};
	bool existed;
	uint32_t order = 12345;
	static unsigned char alive[N];
	uint32_t count = 0;
	for (int i = 0; i < 4 * N; i++) {
		order = order * 1664525 + 1013904223;
		uint32_t k = order % N;
		uint64_t ptr = 0x7f0000000000 + (uint64_t)k * 512;
		if (alive[k]) {
			struct tmk_live *l = tmk_live_find(&t, 0, ptr);
			CHECK(l && l->ptr == ptr);
			tmk_live_remove(&t, l);
			count--;
		} else {
			CHECK(tmk_live_add(&t, 0, ptr, &existed) && !existed);
			count++;
		}
		alive[k] ^= 1;
		CHECK(t.count == count);
	}
	for (uint32_t k = 0; k < N; k++)
		CHECK(!tmk_live_find(&t, 0, 0x7f0000000000 + (uint64_t)k * 512) ==
		      !alive[k]);
	tmk_live_free(&t);
}

/* What the tables must say, found by looking at every block. */
struct known {
	uint64_t ptr, bytes;
	uint8_t device;
	bool alive;
};

static const struct known *around(const struct known *k, int count, int device,
                                  uint64_t ptr)
{
	const struct known *best = NULL;
	for (; count--; k++)
		if (k->alive && ptr >= k->ptr && ptr - k->ptr < k->bytes &&
		    ptr != UINT64_MAX && /* the one that nothing can hold */
		    (device == TMK_ORDER_ANY || device == k->device) &&
		    (!best || k->ptr > best->ptr ||
		     (k->ptr == best->ptr && k->device < best->device)))
			best = k;
	return best;
}

static bool agrees(struct tmk_live_table *t, const struct known *k, int count,
                   int device, uint64_t ptr)
{
	const struct known *right = around(k, count, device, ptr);
	const struct tmk_live *l =
	        device == TMK_ORDER_ANY ? tmk_live_around(t, ptr)
	                                : tmk_live_around_on(t, (uint8_t)device, ptr);
	return right ? l && l->ptr == right->ptr && l->device == right->device : !l;
}

/* Where and how large: the layouts that hurt one structure or another. */
static void place(struct known *k, int layout, uint64_t chance)
{
	uint64_t a = chance >> 8 & 0xffff, b = chance >> 24 & 0xffff;
	k->device = (uint8_t)(chance >> 40 & 31);
	k->ptr = 0x7f0000000000;
	switch (layout) {
	case 0: /* side by side, each address on one device */
		k->ptr += (a % 1000) * 512;
		k->bytes = 512;
		k->device = (uint8_t)(a % 8);
		break;
	case 1: /* devices that all count from the same address */
		k->ptr += (a % 40) * 4096;
		k->bytes = 1 + b % 4096;
		break;
	case 2: /* small ones inside of huge ones of other devices */
		k->device &= 7;
		k->ptr += a % 4 ? (a % 600) << 21 : (b % 8) << 35;
		k->bytes = a % 4 ? 4096 : 40ull << 30;
		break;
	case 3: /* any address, up to the last; overlapping where a free was lost */
		k->ptr = a % 8 ? chance * 0x9e3779b97f4a7c15u >> b % 60
		               : UINT64_MAX - b % 4;
		k->bytes = b % 7 ? chance >> (2 + b % 62) : 0;
		break;
	default: /* clusters that come and go as a whole */
		k->ptr += (chance >> 16 & 3) << 40 | (a % 500) * 65536;
		k->bytes = 65536;
		k->device &= 1;
	}
}

static uint64_t roll(void)
{
	static uint64_t x = 88172645463325252u;
	x ^= x << 13;
	x ^= x >> 7;
	return x ^= x << 17;
}

/* One birth or death; the table and the list agree on the address. */
static bool happens(struct tmk_live_table *t, struct known *k, int count, int reach,
                    int layout, int *alive)
{
	struct known *one = &k[roll() % (uint64_t)reach];
	bool existed, twice = roll() % 16 == 0;
	if (one->alive && !twice) {
		struct tmk_live *l = tmk_live_find(t, one->device, one->ptr);
		CHECK(l && l->bytes == (int64_t)one->bytes);
		tmk_live_remove(t, l);
		one->alive = false;
		--*alive;
		return !tmk_live_find(t, one->device, one->ptr);
	}
	if (!one->alive) {
		place(one, layout, roll());
		for (int i = 0; i < count; i++)
			if (k[i].alive && k[i].ptr == one->ptr &&
			    k[i].device == one->device)
				return true; /* another's */
	}
	if (one->alive)
		one->bytes += 1 + one->bytes / 4; /* its free was lost */
	struct tmk_live *l = tmk_live_add(t, one->device, one->ptr, &existed);
	CHECK(l && existed == one->alive);
	l->bytes = (int64_t)one->bytes;
	*alive += !one->alive;
	one->alive = true;
	return true;
}

TEST("after any births and deaths each address is in the block that a look at all "
     "finds")
{
	enum { N = 1200, LAYOUTS = 5 };
	static struct known known[N];
	for (int layout = 0; layout < LAYOUTS; layout++) {
		struct tmk_live_table t = {0};
		int alive = 0;
		memset(known, 0, sizeof(known));
		for (int i = 0; i < 12000; i++) {
			/* now and then it empties: nodes join and are given back */
			int reach = i / 2000 % 2 ? N : 40;
			CHECK(happens(&t, known, N, reach, layout, &alive));
			CHECK((int)t.count == alive);
			if (i % 3 || i / 2500 % 2) /* long without a question */
				continue;
			const struct known *k = &known[roll() % N];
			int device = roll() % 2 ? TMK_ORDER_ANY : k->device;
			CHECK(agrees(&t, known, N, device, k->ptr));
			CHECK(agrees(&t, known, N, device, k->ptr - 1));
			CHECK(agrees(&t, known, N, device, k->ptr + k->bytes / 2));
			CHECK(agrees(&t, known, N, device, k->ptr + k->bytes));
			CHECK(agrees(&t, known, N, device, k->ptr + (roll() >> 20)));
		}
		int seen = 0;
		for (struct tmk_live *l = NULL; (l = tmk_live_next(&t, l));)
			seen++;
		CHECK(seen == alive);
		for (int i = 0; i < N; i++)
			if (known[i].alive)
				tmk_live_remove(&t, tmk_live_find(&t, known[i].device,
				                                  known[i].ptr));
		CHECK(!t.count && !tmk_live_around(&t, 0x7f0000000000));
		CHECK(!t.order.root && t.order.spare == t.order.room - 1);
		tmk_live_free(&t);
	}
}

TEST("what every device has at the same address is found on each, and nodes are reused")
{
	struct tmk_live_table t = {0};
	bool existed;
	for (int round = 0; round < 3; round++) {
		for (uint64_t i = 0; i < 200; i++)
			for (int d = 0; d < TMK_ORDER_WIDE; d++)
				tmk_live_add(&t, (uint8_t)d, i << 20, &existed)->bytes =
				        1 << 20;
		for (uint64_t i = 0; i < 200; i++)
			for (int d = 0; d < TMK_ORDER_WIDE; d++) {
				struct tmk_live *l = tmk_live_around_on(
				        &t, (uint8_t)d, (i << 20) + 12345);
				CHECK(l && l->device == d && l->ptr == i << 20);
				CHECK(tmk_live_around(&t, (i << 20) + 1)->device == 0);
			}
		uint32_t room = t.order.room;
		for (uint64_t i = 0; i < 200; i++)
			for (int d = 0; d < TMK_ORDER_WIDE; d++)
				tmk_live_remove(&t,
				                tmk_live_find(&t, (uint8_t)d, i << 20));
		CHECK(!t.order.root && t.order.room == room);
	}
	tmk_live_free(&t);
}

TEST("a look-up among a million blocks goes through two nodes more than among ten "
     "thousand")
{
	enum { FEW = 10000, MANY = 1000000, DEVICES = 8 };
	struct tmk_order o = {0};
	uint32_t shallow = 0;
	for (uint32_t i = 0; i < MANY; i++) {
		/* Each once, in disorder: the multiplier is prime to a power of ten. */
		uint64_t at = (uint64_t)i * 7919 % MANY << 10;
		CHECK(tmk_order_add(&o, at, 1 << 10, (uint8_t)(i % DEVICES), i));
		if (i + 1 == FEW)
			shallow = o.height;
	}
	CHECK(shallow >= 2 && o.height <= shallow + 2);
	for (uint32_t i = 0; i < MANY; i += 997)
		CHECK(tmk_order_around(&o, (uint8_t)(i % DEVICES),
		                       ((uint64_t)i * 7919 % MANY << 10) + 77) == i);
	tmk_order_free(&o);
}

/* ---- places -------------------------------------------------------------------------- */

TEST("names are expanded by host, process and rank, and made absolute")
{
	char path[4096], wanted[4096];
	setenv("RANK", "17", 1);
	CHECK(tmk_place_expand("/a/x-%r-%%.db", path, sizeof(path)) == 0);
	CHECK_TEXT(path, "/a/x-17-%.db");
	CHECK(tmk_place_expand("/a/%p", path, sizeof(path)) == 0);
	snprintf(wanted, sizeof(wanted), "/a/%d", (int)getpid());
	CHECK_TEXT(path, wanted);
	CHECK(tmk_place_expand("b.db", path, sizeof(path)) == 0);
	CHECK(getcwd(wanted, sizeof(wanted) - 8));
	strcat(wanted, "/b.db");
	CHECK_TEXT(path, wanted);
}

TEST("a name that is too long is refused, not cut")
{
	char path[32];
	CHECK(tmk_place_expand("/0123456789012345678901234567890", path,
	                       sizeof(path)) == -ENAMETOOLONG);
}

TEST("file systems that machines share are told by the kernel's own numbers for them")
{
	static const uint32_t shared[] = {
	        NFS_SUPER_MAGIC,  CIFS_SUPER_MAGIC,  SMB2_SUPER_MAGIC,
	        SMB_SUPER_MAGIC,  AFS_SUPER_MAGIC,   AFS_FS_MAGIC,
	        CODA_SUPER_MAGIC, NCP_SUPER_MAGIC,   CEPH_SUPER_MAGIC,
	        V9FS_MAGIC,       OCFS2_SUPER_MAGIC, FUSE_SUPER_MAGIC};
	static const uint32_t own[] = {
	        EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC,       BTRFS_SUPER_MAGIC, TMPFS_MAGIC,
	        F2FS_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC, RAMFS_MAGIC,       0};
	for (size_t i = 0; i < sizeof(shared) / sizeof(*shared); i++)
		CHECK(tmk_place_type_is_network(shared[i]));
	for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++)
		CHECK(!tmk_place_type_is_network(own[i]));
}

TEST("a file is made where nothing is, for its owner alone, and never through a link")
{
	struct stat st;
	int fd = tmk_place_create(temp_path("new"));
	CHECK(fd >= 0 && fstat(fd, &st) == 0 && (st.st_mode & 0777) == 0600);
	close(fd);
	CHECK(tmk_place_create(temp_path("new")) == -EEXIST);
	CHECK(symlink(temp_path("nowhere"), temp_path("link")) == 0);
	CHECK(tmk_place_create(temp_path("link")) == -EEXIST);
	CHECK(access(temp_path("nowhere"), F_OK) != 0);
}

TEST("this machine's own folders are not taken for a network's")
{
	CHECK(!tmk_place_is_network("/dev/shm/x"));
	CHECK(!tmk_place_is_network("/proc/x"));
}

/* ---- settings ------------------------------------------------------------------------ */

TEST("sizes are read as people write them")
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {{"0", 0},          {"123", 123},         {"64K", 65536},
	            {"1m", 1 << 20},   {"2GiB", 2ull << 30}, {"3MB", 3 << 20},
	            {"1T", 1ull << 40}};
	static const char *const bad[] = {"",    "K",    "-1",    "1X",
	                                  "1KK", "12 3", "1GiBs", "99999999999T"};
	uint64_t n;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		CHECK(tmk_parse_size(good[i].text, &n) == 0 && n == good[i].bytes);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		CHECK(tmk_parse_size(bad[i], &n) == -EINVAL);
}

TEST("the environment is read, defaults fill what it does not say")
{
	setenv("TIDEMARK_STACKS", "python", 1);
	setenv("TIDEMARK_MAX_SIZE", "7M", 1);
	setenv("TIDEMARK_RING_SIZE", "100000", 1);
	tmk_settings_read();
	CHECK(tmk_settings.want_stacks == TMK_STACKS_PYTHON);
	CHECK(tmk_settings.max_size == 7 << 20);
	CHECK(tmk_settings.ring_size == 131072); /* the next power of two */
	CHECK(!tmk_settings.off && tmk_settings.enrich);
	CHECK_TEXT(tmk_settings.out, "tidemark-%h-%p.db");
}

TEST_MAIN
