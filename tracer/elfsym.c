#include "elfsym.h"
#include <dlfcn.h>
#include <stdio.h>
struct tmk_objects *tmk_objects_new(void) { return NULL; }
void tmk_objects_free(struct tmk_objects *o) { (void)o; }
void tmk_objects_reload(struct tmk_objects *o, struct tmk_store *s) { (void)o; (void)s; }
void tmk_elfsym_describe(struct tmk_objects *o, uint64_t pc, const char **object, uint64_t *offset, char *name, size_t size)
{
	Dl_info i;
	(void)o;
	*name = 0; *object = NULL; *offset = 0;
	if (!dladdr((void *)(pc - 1), &i)) return;
	*object = i.dli_fname;
	*offset = pc - (uint64_t)i.dli_fbase;
	if (i.dli_sname) snprintf(name, size, "%s", i.dli_sname);
}
