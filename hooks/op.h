/* op.h - numbers for operators. */
#ifndef TIDEMARK_HOOKS_OP_H
#define TIDEMARK_HOOKS_OP_H

#include <stddef.h>
#include <stdint.h>

/* A number for an autograd node's class, by its virtual table. */
uint32_t tmk_op_number(const void *vtable);

/* A text that fills its buffer may go on: it ends with three dots then. */
void tmk_mark_cut(char *text, size_t size);

#endif
