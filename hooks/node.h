/* node.h - autograd's nodes: which module made one, and which operator it is.
 * Any thread, under the guard. */
#ifndef TIDEMARK_HOOKS_NODE_H
#define TIDEMARK_HOOKS_NODE_H

#include <stdint.h>

#include "doing.h"

/* A node with this number was made on this thread, in this module (0: in none). */
void tmk_node_made(struct tmk_doing *p, uint64_t number, uint64_t module);
/* Module and operator of p->node, which is not NULL; then it is. */
void tmk_node_name(struct tmk_doing *p);
/* An AccumulateGrad has just been made: where do nodes keep what they are known by? */
void tmk_node_of_leaf(const char *node);

#endif
