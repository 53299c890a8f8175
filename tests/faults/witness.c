/* witness.c - writes down every allocation that PyTorch reports, in front of libtidemark.
 * LD_PRELOAD="libwitness.so libtidemark.so": torch's calls come here first and go on to the
 * library's wrapper, or to torch's own function where no library is. Shares no code and no
 * header with the library: what both agree on, two have seen.
 *
 * Called from: any thread of the traced program, under the allocator's lock. Takes no lock,
 * allocates nothing. A record is marked when its call begins and when it has returned; the
 * file is shared memory, so what was written outlives SIGKILL, and forked children write on
 * into the same file. WITNESS_FILE names it; whoever starts the program has made it, of its
 * whole size, full of zeros (so that no limit on files meets it here). */
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct device {
	int8_t type, index;
};

struct record {
	uint64_t ptr;
	int64_t bytes;
	uint64_t allocated, reserved;
	int32_t pid, tid;
	int8_t type, index;
	_Atomic uint8_t state; /* 1 begun, 2 returned */
};

/* The first record's place: how many there are, and how many calls found no room. */
struct header {
	_Atomic uint64_t used, dropped;
};

typedef void report_fn(void *, int64_t, size_t, size_t, struct device);

static struct record *records;
static struct header *header;
static uint64_t room;

__attribute__((constructor)) static void open_file(void)
{
	const char *path = getenv("WITNESS_FILE");
	struct stat st;
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	if (fd < 0)
		return;
	if (!fstat(fd, &st) && (size_t)st.st_size > sizeof(*records)) {
		void *map = mmap(NULL, st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED,
		                 fd, 0);
		if (map != MAP_FAILED) {
			header = map;
			records = (struct record *)map + 1;
			room = st.st_size / sizeof(*records) - 1;
		}
	}
	close(fd);
}

/* torch's own function: its library is loaded RTLD_LOCAL, where RTLD_NEXT does not look. */
static int find_c10(struct dl_phdr_info *info, size_t size, void *out)
{
	(void)size;
	if (!strstr(info->dlpi_name, "libc10.so"))
		return 0;
	*(void **)out = dlopen(info->dlpi_name, RTLD_LAZY | RTLD_NOLOAD);
	return 1;
}

static report_fn *next(const char *name, _Atomic(report_fn *) *known)
{
	report_fn *f = atomic_load_explicit(known, memory_order_relaxed);
	if (f)
		return f;
	f = (report_fn *)dlsym(RTLD_NEXT, name);
	if (!f) {
		void *c10 = NULL;
		dl_iterate_phdr(find_c10, &c10);
		f = c10 ? (report_fn *)dlsym(c10, name) : NULL;
	}
	atomic_store(known, f);
	return f;
}

static struct record *begin(void *ptr, int64_t bytes, size_t allocated, size_t reserved,
                            struct device device)
{
	if (!records)
		return NULL;
	uint64_t at = atomic_fetch_add(&header->used, 1);
	if (at >= room) {
		atomic_fetch_add(&header->dropped, 1);
		return NULL;
	}
	struct record *r = &records[at];
	r->ptr = (uintptr_t)ptr;
	r->bytes = bytes;
	r->allocated = allocated;
	r->reserved = reserved;
	r->pid = getpid();
	r->tid = (int32_t)syscall(SYS_gettid);
	r->type = device.type;
	r->index = device.index;
	atomic_store_explicit(&r->state, 1, memory_order_release);
	return r;
}

static void watch(report_fn *f, void *ptr, int64_t bytes, size_t allocated,
                  size_t reserved, struct device device)
{
	struct record *r = begin(ptr, bytes, allocated, reserved, device);
	if (f)
		f(ptr, bytes, allocated, reserved, device);
	if (r)
		atomic_store_explicit(&r->state, 2, memory_order_release);
}

void _ZN3c1027reportMemoryUsageToProfilerEPvlmmNS_6DeviceE(void *, int64_t, size_t,
                                                           size_t, struct device);
void _ZN3c1027reportMemoryUsageToProfilerEPvlllNS_6DeviceE(void *, int64_t, size_t,
                                                           size_t, struct device);

void _ZN3c1027reportMemoryUsageToProfilerEPvlmmNS_6DeviceE(void *ptr, int64_t bytes,
                                                           size_t allocated,
                                                           size_t reserved,
                                                           struct device device)
{
	static _Atomic(report_fn *) known;
	watch(next("_ZN3c1027reportMemoryUsageToProfilerEPvlmmNS_6DeviceE", &known),
	      ptr, bytes, allocated, reserved, device);
}

/* as PyTorch before 2.0 calls it */
void _ZN3c1027reportMemoryUsageToProfilerEPvlllNS_6DeviceE(void *ptr, int64_t bytes,
                                                           size_t allocated,
                                                           size_t reserved,
                                                           struct device device)
{
	static _Atomic(report_fn *) known;
	watch(next("_ZN3c1027reportMemoryUsageToProfilerEPvlllNS_6DeviceE", &known),
	      ptr, bytes, allocated, reserved, device);
}
