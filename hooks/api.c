/* api.c - tidemark.h. */
#include "tidemark.h"

#include "emit.h"
#include "real.h"
#include "recover.h"

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

TMK_EXPORT int tidemark_recover(const char *trace, const char *into, char *message,
				size_t message_size)
{
	tmk_self.guard = 1;
	int rc = tmk_recover(trace, into, message, message_size);
	tmk_self.guard = 0;
	return rc;
}
