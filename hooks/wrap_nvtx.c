/* wrap_nvtx.c - NVTX ranges as names of phases and buckets.
 *
 * NVTX 3 is a header: its functions are static in whoever includes it and cannot be
 * interposed. At a library's first range it loads what NVTX_INJECTION64_PATH names and calls
 * InitializeInjectionNvtx2 there, with a table of the places that hold its implementations;
 * libnvToolsExt (NVTX 2) does the same. So process.c names this library there, where no
 * other tool is named, and this file fills in those that begin and end a thread's range.
 * Called from: NVTX, on the thread that opens the range; no lock is held. */
#include <dlfcn.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "emit.h"
#include "nvtx.h"
#include "real.h"
#include "scope.h"
#include "settings.h"

/* nvtxEventAttributes_t, the same in NVTX 2 and 3 */
struct attributes {
	uint16_t version, size;
	uint32_t category;
	int32_t color_type;
	uint32_t color;
	int32_t payload_type, reserved;
	uint64_t payload;
	int32_t message_type;
	const void *message;
};
_Static_assert(sizeof(struct attributes) == 48, "nvtxEventAttributes_t");

enum { MESSAGE_ASCII = 1, MESSAGE_REGISTERED = 3, NO_PUSH_POP_TRACKING = -2 };

static void begin(uint64_t owner, const char *message)
{
	const char *name = message;
	enum tmk_scope_kind kind = tmk_scope_parse(message, &name);
	if (kind == TMK_SCOPE_NONE && message && tmk_settings.want_nvtx == TMK_NVTX_ALL)
		kind = TMK_SCOPE_PHASE;
	tmk_scope_push(owner, kind, kind == TMK_SCOPE_NONE ? "" : name);
}

/* A registered string's handle is our copy of it; a wide one names nothing. */
static const char *text_of(const struct attributes *a)
{
	return a && (a->message_type == MESSAGE_ASCII ||
	             a->message_type == MESSAGE_REGISTERED)
	               ? a->message
	               : NULL;
}

static int push(const char *message)
{
	begin(TMK_OWNER_NVTX, message);
	return NO_PUSH_POP_TRACKING;
}

static int push_wide(const void *message)
{
	(void)message;
	begin(TMK_OWNER_NVTX, NULL);
	return NO_PUSH_POP_TRACKING;
}

static int push_attributes(const struct attributes *a)
{
	begin(TMK_OWNER_NVTX, text_of(a));
	return NO_PUSH_POP_TRACKING;
}

static int pop(void)
{
	tmk_scope_pop(TMK_OWNER_NVTX);
	return NO_PUSH_POP_TRACKING;
}

static uint64_t owner_of(const void *domain)
{
	return domain ? (uintptr_t)domain
	              : TMK_OWNER_NVTX; /* NULL: the default domain */
}

static int push_in_domain(const void *domain, const struct attributes *a)
{
	begin(owner_of(domain), text_of(a));
	return NO_PUSH_POP_TRACKING;
}

static int pop_in_domain(const void *domain)
{
	tmk_scope_pop(owner_of(domain));
	return NO_PUSH_POP_TRACKING;
}

/* A domain's handle: without one every domain would be the default one. */
static const void *domain_create(const char *name)
{
	return name && *name ? (const void *)(uintptr_t)(tmk_scope_owner(name) | 1)
	                     : NULL;
}

/* Kept for as long as the process lives, as NVTX has it, if it is a name of a scope. */
static const void *register_string(const void *domain, const char *text)
{
	const char *name;
	(void)domain;
	if (!text || (tmk_settings.want_nvtx != TMK_NVTX_ALL &&
	              tmk_scope_parse(text, &name) == TMK_SCOPE_NONE))
		return NULL;
	return strdup(text);
}

/* ---- NVTX's side: which function stands where in its tables -------------------------- */

struct callbacks { /* NvtxExportTableCallbacks */
	size_t size;
	int (*table)(int module, void ****functions, unsigned *count);
};
typedef const void *export_table(uint32_t id);
TMK_EXPORT int InitializeInjectionNvtx2(export_table *get);

static const struct {
	uint8_t module, function; /* NvtxCallbackModule, NvtxCallbackIdCore[2] */
	void *ours;
} callbacks[] = {
        {1, 8, (void *)push_attributes},  {1, 9, (void *)push},
        {1, 10, (void *)push_wide},       {1, 11, (void *)pop},
        {5, 4, (void *)push_in_domain},   {5, 5, (void *)pop_in_domain},
        {5, 10, (void *)register_string}, {5, 12, (void *)domain_create},
};

int InitializeInjectionNvtx2(export_table *get)
{
	enum { CALLBACKS = 1 };
	const struct callbacks *c = get ? get(CALLBACKS) : NULL;
	if (tmk_settings.want_nvtx == TMK_NVTX_NONE || !c || c->size < sizeof(*c))
		return 0;
	for (size_t i = 0; i < sizeof(callbacks) / sizeof(*callbacks); i++) {
		void ***functions;
		unsigned count;
		if (c->table(callbacks[i].module, &functions, &count) &&
		    callbacks[i].function < count && functions[callbacks[i].function])
			*functions[callbacks[i].function] = callbacks[i].ours;
	}
	return 1;
}

/* ---- being found --------------------------------------------------------------------- */

static const char variable[] = "NVTX_INJECTION64_PATH";
static bool another_tool;

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

void tmk_nvtx_offer(void)
{
	char path[PATH_MAX];
	Dl_info info;
	const char *named = getenv(variable);
	if (tmk_settings.want_nvtx == TMK_NVTX_NONE ||
	    !dladdr((void *)tmk_nvtx_offer, &info) || !realpath(info.dli_fname, path))
		return;
	/* A shell that started this program had the library, too, and has said so. */
	another_tool = named && strcmp(last_part(named), last_part(path));
	if (!another_tool)
		setenv(variable, path, 1);
}

void tmk_nvtx_report(void)
{
	bool off = tmk_settings.want_nvtx == TMK_NVTX_NONE;
	tmk_emit_capability("nvtx",
	                    off            ? "off"
	                    : another_tool ? "missing"
	                                   : "live",
	                    off            ? "TIDEMARK_NVTX is none"
	                    : another_tool ? "NVTX_INJECTION64_PATH names another tool"
	                                   : "");
}
