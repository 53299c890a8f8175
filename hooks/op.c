/* op.c - see op.h. Called from: node.c, stacks.c, on any thread, under the guard. */
#include "op.h"

#include <stdio.h>
#include <string.h>

#include "emit.h"
#include "hot.h"
#include "intern.h"

void tmk_mark_cut(char *text, size_t size)
{
	size_t n = strlen(text);
	if (n + 1 < size)
		return;
	for (n -= 3; (text[n] & 0xc0) == 0x80; n--)
		; /* not inside a character */
	memcpy(text + n, "...", 4);
}

static TMK_COLD uint32_t new_op(const char *type_name, uint64_t hash, uint64_t check)
{
	uint32_t id = tmk_intern_new(TMK_TABLE_OP);
	if (!id)
		return 0;
	/* "N5torch8autograd9generated14AddmmBackward0E": the last name that ends */
	char name[1024] = "";
	for (const char *p = type_name; *p;) {
		int n = 0, used = 0;
		if (sscanf(p, "%d%n", &n, &used) == 1 && n > 0 &&
		    strlen(p + used) >= (size_t)n) {
			snprintf(name, sizeof(name), "%.*s", n, p + used);
			p += used + n;
		} else {
			p++;
		}
	}
	tmk_mark_cut(name, sizeof(name));
	tmk_emit_text(TMK_REC_OP, id, 0, 0, 1,
	              (const char *[]){*name ? name : type_name});
	tmk_intern_add(TMK_TABLE_OP, hash, check, id);
	return id;
}

/* By the name of the type, then by this table too: a class may have several. */
static TMK_COLD uint32_t define_op(const void *vtable, uint64_t hash, uint64_t check)
{
	/* Itanium ABI: the type_info precedes the table's first entry, its name is its
	 * second word. */
	const char *type_name = ((const char *const *const *)vtable)[-1][1];
	uint64_t name_hash = tmk_mix((uintptr_t)type_name, 11);
	uint64_t name_check = tmk_mix((uintptr_t)type_name, 13);
	uint32_t id = tmk_intern_find(TMK_TABLE_OP, name_hash, name_check);
	if (!id)
		id = new_op(type_name, name_hash, name_check);
	if (id)
		tmk_intern_add(TMK_TABLE_OP, hash, check, id);
	return id;
}

TMK_HOT uint32_t tmk_op_number(const void *vtable)
{
	/* A table of a library that stays loaded: its address is the class. */
	uint64_t hash = tmk_mix((uintptr_t)vtable, 11);
	uint64_t check = tmk_mix((uintptr_t)vtable, 13);
	uint32_t id = tmk_intern_find(TMK_TABLE_OP, hash, check);
	return __builtin_expect(id, 1) ? id : define_op(vtable, hash, check);
}
