/* opname.h - operators by what they are called. Called from: names.c. */
#ifndef TIDEMARK_TRACER_OPNAME_H
#define TIDEMARK_TRACER_OPNAME_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* "at::_ops::add_Tensor::call(...)" is the operator aten::add_Tensor. */
static inline bool tmk_operator_name(const char *symbol, char *op, size_t size)
{
	const char *p = strstr(symbol, "at::_ops::");
	if (!p)
		return false;
	p += strlen("at::_ops::");
	const char *end = strstr(p, "::");
	if (!end || (strncmp(end, "::call", 6) && strncmp(end, "::redispatch", 12)))
		return false;
	snprintf(op, size, "aten::%.*s", (int)(end - p), p);
	return true;
}

/* Operators that only make room for others. */
static inline bool tmk_operator_is_factory(const char *name)
{
	return !strncmp(name, "aten::empty", 11) ||
	       !strncmp(name, "aten::new_empty", 15) ||
	       !strncmp(name, "aten::resize", 12);
}

#endif
