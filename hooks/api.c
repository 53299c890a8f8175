/* api.c - tidemark.h. */
#define TIDEMARK_API
#include "tidemark.h"

#include "emit.h"
#include "glance.h"
#include "latch.h"
#include "real.h"
#include "recover.h"
#include "scope.h"

TMK_EXPORT const char *tidemark_version(void)
{
	return TIDEMARK_VERSION;
}

TMK_EXPORT void tidemark_step(void)
{
	if (!tmk_is_active() || !tmk_enter())
		return;
	tmk_emit_boundary(TMK_AT_MARK, false, false);
	tmk_leave();
}

/* Not under the guard: a push is the thread's own business and is wanted before the first
 * event, too. */
TMK_EXPORT void tidemark_push_phase(const char *name)
{
	tmk_scope_push(TMK_OWNER_PHASE, TMK_SCOPE_PHASE, name);
}

TMK_EXPORT void tidemark_pop_phase(void)
{
	tmk_scope_pop(TMK_OWNER_PHASE);
}

TMK_EXPORT void tidemark_push_bucket(const char *name)
{
	tmk_scope_push(TMK_OWNER_BUCKET, TMK_SCOPE_BUCKET, name);
}

TMK_EXPORT void tidemark_pop_bucket(void)
{
	tmk_scope_pop(TMK_OWNER_BUCKET);
}

/* SQLite here has no locks of its own: two threads that ask, or one beside the writer of a
 * traced process, take turns. */
TMK_EXPORT int tidemark_recover(const char *trace, const char *into, char *message,
                                size_t message_size)
{
	tmk_self.guard = 1;
	tmk_latch(TMK_LATCH_STORE);
	int rc = tmk_recover(trace, into, message, message_size);
	tmk_unlatch(TMK_LATCH_STORE);
	tmk_self.guard = 0;
	return rc;
}

TMK_EXPORT int tidemark_glance(const char *trace, const char *seen, char *text,
                               size_t size)
{
	tmk_self.guard = 1;
	tmk_latch(TMK_LATCH_STORE);
	int rc = tmk_glance(trace, seen, text, size);
	tmk_unlatch(TMK_LATCH_STORE);
	tmk_self.guard = 0;
	return rc;
}
