/* cunwind.c - loads libunwind and steps through the calling thread's frames.
 *
 * Called from: cstack.c; load off the hot path, the rest on any thread.
 *
 * dlopen with RTLD_LOCAL keeps the library's _Unwind_* out of the global scope, where
 * they would come before libgcc's. It is never closed: it owns thread-specific data
 * with a destructor. If the host has the same library loaded, we share its instance.
 *
 * What it does inside, as of 1.6 to 1.8:
 * - A return address that is new to the thread takes dl_iterate_phdr, hence glibc's
 *   dl_load_write_lock. That lock is recursive and held for list updates and during
 * other callers' callbacks, never across constructors; a deadlock would take a callback
 * that waits for PyTorch's allocator. (1.8 has unw_set_iterate_phdr_function, but there
 * is no answer that is both lock-free and never stale.)
 * - Its first use on a thread maps its tables (mmap) and sets up its TLS block, which
 * is dynamic, so the loader may call malloc, once per thread.
 * - A step that is not in its per-thread table takes its cache's lock, signals masked.
 * - Code without unwind information (JIT, or beyond the thread's start) is stepped over
 * by guessing at rbp; such reads are checked first: mincore, then a write to a pipe of
 * its own. A host that closes descriptors that it does not own takes that pipe away,
 * and the byte goes where the number leads then: into a file of the host's. So the pipe is
 * found when the library is loaded, and looked at before each walk; once it is gone there
 * are no more native stacks. The slow walk never steps beyond the frame that the fast one
 * found to be the last; the fast one remembers it per thread.
 * - Unwind information that is wrong is believed, as it is by C++ exceptions.
 */
#include "cunwind.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <ucontext.h>

/* The ABI of libunwind.so.8 on x86-64: no header of it is needed to build. */
enum { CURSOR_WORDS = 127, CACHE_PER_THREAD = 2, SAVED_IN_MEMORY = 1 };
enum { REG_ID_RBP = 6, REG_ID_RSP = 7, REG_ID_RIP = 16 };
struct cursor {
	uint64_t opaque[CURSOR_WORDS];
};
struct save_location {
	int type;
	uint64_t address, extra;
};

static struct {
	int (*backtrace)(void **, int);
	int (*init_local)(struct cursor *, ucontext_t *);
	int (*step)(struct cursor *);
	int (*get_reg)(struct cursor *, int, uint64_t *);
	int (*get_save_loc)(struct cursor *, int, struct save_location *);
	int (*set_caching_policy)(void *, int);
	void **local_addr_space;
} unw;

#define FIND(member, name)                                                             \
	{                                                                              \
		(void **)&unw.member, name                                             \
	}

/* ---- its pipe ------------------------------------------------------------------------ */

enum { MOST_PIPES = 8, LAST_DESCRIPTOR = 4096 };
static struct {
	int fd;
	dev_t device;
	ino_t inode;
} pipe_ends[MOST_PIPES];
static int pipes;
static atomic_bool pipe_lost;

static bool is_pipe(int fd, struct stat *st)
{
	return !fstat(fd, st) && S_ISFIFO(st->st_mode);
}

/* Which descriptors below LAST_DESCRIPTOR are pipes. */
static void find_pipes(bool was[LAST_DESCRIPTOR])
{
	struct stat st;
	for (int fd = 0; fd < LAST_DESCRIPTOR; fd++)
		was[fd] = is_pipe(fd, &st);
}

/* What was no pipe before libunwind's first walk and is one after it. Another thread's that
 * is opened just then is watched as well: no harm but the loss of native stacks. */
static void note_pipes(const bool was[LAST_DESCRIPTOR])
{
	struct stat st;
	for (int fd = 0; fd < LAST_DESCRIPTOR && pipes < MOST_PIPES; fd++) {
		if (was[fd] || !is_pipe(fd, &st))
			continue;
		pipe_ends[pipes].fd = fd;
		pipe_ends[pipes].device = st.st_dev;
		pipe_ends[pipes++].inode = st.st_ino;
	}
}

static bool has_its_pipe(void)
{
	struct stat st;
	if (atomic_load_explicit(&pipe_lost, memory_order_relaxed))
		return false;
	for (int i = 0; i < pipes; i++) {
		if (is_pipe(pipe_ends[i].fd, &st) && st.st_ino == pipe_ends[i].inode &&
		    st.st_dev == pipe_ends[i].device)
			continue;
		atomic_store(&pipe_lost, true);
		return false;
	}
	return true;
}

/* ---- the library --------------------------------------------------------------------- */

int tmk_cunwind_load(char *why, size_t n)
{
	bool was[LAST_DESCRIPTOR];
	struct tmk_cunwind_frame frame;
	const struct {
		void **to;
		const char *name;
	} wanted[] = {
	        FIND(backtrace, "unw_backtrace"),
	        FIND(init_local, "_ULx86_64_init_local"),
	        FIND(step, "_ULx86_64_step"),
	        FIND(get_reg, "_ULx86_64_get_reg"),
	        FIND(get_save_loc, "_ULx86_64_get_save_loc"),
	        FIND(set_caching_policy, "_ULx86_64_set_caching_policy"),
	        FIND(local_addr_space, "_ULx86_64_local_addr_space"),
	};
	find_pipes(was);
	void *library = dlopen("libunwind.so.8", RTLD_NOW | RTLD_LOCAL);
	if (!library) {
		snprintf(why, n, "no libunwind.so.8 (Debian: libunwind8)");
		return -ENOTSUP;
	}
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		*wanted[i].to = dlsym(library, wanted[i].name);
		if (!*wanted[i].to) {
			snprintf(why, n, "libunwind.so.8 has no '%s'", wanted[i].name);
			dlclose(library);
			return -ENOTSUP;
		}
	}
	/* Without this its cache is one for all threads, under a lock. */
	unw.set_caching_policy(*unw.local_addr_space, CACHE_PER_THREAD);
	tmk_cunwind_steps(&frame, 1, 0);
	note_pipes(was);
	return 0;
}

int tmk_cunwind_trace(void **pc, int size)
{
	int n = has_its_pipe() ? unw.backtrace(pc, size) : 0;
	return n > 0 ? n : 0;
}

/* The registers that unwinding starts from. Not libunwind's own getcontext: that one
 * executes fnstenv, which masks the host's x87 exceptions. */
static inline __attribute__((always_inline)) void registers_here(ucontext_t *c)
{
	greg_t *r = c->uc_mcontext.gregs;
	__asm__ volatile("movq %%rbx, %0\n\tmovq %%rbp, %1\n\tmovq %%r12, %2\n\t"
	                 "movq %%r13, %3\n\tmovq %%r14, %4\n\tmovq %%r15, %5\n\t"
	                 : "=m"(r[REG_RBX]), "=m"(r[REG_RBP]), "=m"(r[REG_R12]),
	                   "=m"(r[REG_R13]), "=m"(r[REG_R14]), "=m"(r[REG_R15]));
	__asm__ volatile("movq %%rsp, %0\n\tleaq 0f(%%rip), %%rax\n0:\tmovq %%rax, %1"
	                 : "=m"(r[REG_RSP]), "=m"(r[REG_RIP])
	                 :
	                 : "rax");
}

__attribute__((noinline)) int tmk_cunwind_steps(struct tmk_cunwind_frame *f, int count,
                                                uint64_t from)
{
	ucontext_t here;
	struct cursor at;
	struct save_location saved;
	int n = 0;

	if (!has_its_pipe())
		return 0;
	memset(&here.uc_mcontext, 0, sizeof(here.uc_mcontext));
	registers_here(&here);
	if (unw.init_local(&at, &here) < 0)
		return 0;
	while (n < count && unw.step(&at) > 0) {
		if (unw.get_reg(&at, REG_ID_RIP, &f[n].pc) < 0 ||
		    unw.get_reg(&at, REG_ID_RSP, &f[n].sp) < 0)
			break;
		if (f[n].sp < from)
			continue;
		if (unw.get_reg(&at, REG_ID_RBP, &f[n].rbp) < 0)
			f[n].rbp = 0;
		f[n].rbp_at = 0;
		if (unw.get_save_loc(&at, REG_ID_RBP, &saved) >= 0 &&
		    saved.type == SAVED_IN_MEMORY)
			f[n].rbp_at = saved.address;
		n++;
	}
	return n;
}
