/* owner.h - who wrote a ring, and whether that process is gone.
 *
 * A lock alone does not tell: it is lost when a program closes the descriptor that holds
 * it, and it is kept by a child that inherited the descriptor. So the ring's header also
 * says which process wrote it, in words that hold across containers, hosts and reboots. */
#ifndef TIDEMARK_TRACER_OWNER_H
#define TIDEMARK_TRACER_OWNER_H

#include <stdbool.h>
#include <stdint.h>

struct tmk_owner { /* zero or empty: not known */
	uint32_t pid;
	uint32_t pad;
	uint64_t started; /* clock ticks after boot: field 22 of /proc/PID/stat */
	uint64_t pid_namespace;
	char boot[40]; /* /proc/sys/kernel/random/boot_id */
	char host[65];
	char pad2[7];
};

enum tmk_owner_state {
	TMK_OWNER_LIVES,
	TMK_OWNER_GONE,
	TMK_OWNER_UNKNOWN, /* it ran where we cannot look: another container or host */
};

/* This process. Reads /proc; what cannot be read stays unknown. */
void tmk_owner_self(struct tmk_owner *o);

/* What its own words say about it; it may be a hostile file's. Reads /proc. */
enum tmk_owner_state tmk_owner_state(const struct tmk_owner *o);

/* One lock of a file, of the open file description where the kernel has such locks
 * (Linux 3.15): that one survives the program's opening and closing the file elsewhere.
 * Bytes of a ring that stand for its locks: */
enum { TMK_LOCK_OWNER = 0, TMK_LOCK_RECOVERY = 1 };

/* Takes it: 0, -EAGAIN where somebody else has it, or another -errno. */
int tmk_lock_take(int fd, int byte);
/* 1 somebody else has it, 0 nobody, or -errno. */
int tmk_lock_held(int fd, int byte);

/* fcntl(2)'s F_SETLK, F_SETLKW or F_GETLK, as a lock of the open file description where
 * the kernel has them. Returns what fcntl returns. */
struct flock;
int tmk_lock_fcntl(int fd, int command, struct flock *lock);

#endif
