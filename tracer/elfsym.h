#ifndef TMK_ELFSYM_H
#define TMK_ELFSYM_H
#include <stddef.h>
#include <stdint.h>
#include "store.h"
struct tmk_objects;
struct tmk_objects *tmk_objects_new(void);
void tmk_objects_free(struct tmk_objects *o);
void tmk_objects_reload(struct tmk_objects *o, struct tmk_store *s);
void tmk_elfsym_describe(struct tmk_objects *o, uint64_t pc, const char **object, uint64_t *offset, char *name, size_t size);
#endif
