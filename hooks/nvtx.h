/* nvtx.h - NVTX ranges that name phases and buckets. */
#ifndef TIDEMARK_HOOKS_NVTX_H
#define TIDEMARK_HOOKS_NVTX_H

/* Tells NVTX of this library, unless it has been told of another one. In the constructor,
 * before any other thread exists: it sets an environment variable. */
void tmk_nvtx_offer(void);

/* The capability, into the trace. */
void tmk_nvtx_report(void);

#endif
