/* pace.h - time, where taking none would change what a program does.
 * On a real device other threads get on while the host waits for it. Here a wait would be
 * over at once, and then: a backward thread still holds its graph when the interpreter
 * ends (PyTorch >= 2.14 aborts), and NCCL's watchdog, which looks every 100 ms, keeps the
 * buffers of finished collectives over several steps. */
#ifndef TIDEMARK_SIMULATOR_PACE_H
#define TIDEMARK_SIMULATOR_PACE_H

#include <stdint.h>

/* The host waits for the device: lets other threads run. */
void tmksim_pace_wait(void);
/* The clock that busy streams go by, and a wait until it shows `ns`. */
uint64_t tmksim_now_ns(void);
void tmksim_pace_until(uint64_t ns);
/* A thread issues work: the first time after another thread did, lets that one finish. */
void tmksim_pace_work(void);
/* A stream or the host waits for a collective: lets watchdogs see that it is over. */
void tmksim_pace_collective(void);
/* How that is done; set by the library that knows the watchdogs. */
extern void (*_Atomic tmksim_wake_watchdogs)(void);

#endif
