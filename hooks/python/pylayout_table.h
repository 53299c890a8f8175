/* pylayout_table.h - the offsets of each minor version, 3.8 first. Included by pylayout.c,
 * which finds what is true here, and by pystack.c, whose look-up of stacks is compiled once for
 * each. */
#ifndef TIDEMARK_HOOKS_PYLAYOUT_TABLE_H
#define TIDEMARK_HOOKS_PYLAYOUT_TABLE_H

#include "pylayout.h"

enum { TMK_PY_FIRST = 8 };

/* clang-format off */
static const struct tmk_py_layout tmk_py_by_minor[] = {
	/* PyFrameObject in the thread state; no co_qualname; owner and bytes do not exist */
	{.minor = 8, .current = 24, .cframe = -1,
	 .code = 32, .previous = 24, .ip = 104, .locals = 360, .owner = -1, .ip_kind = TMK_PY_IP_BYTES,
	 .file = 104, .name = 112, .qualname = 112, .first_line = 40, .lines = 120, .bytes = -1,
	 .ascii = 48, .compact = 72},
	{.minor = 9, .current = 24, .cframe = -1,
	 .code = 32, .previous = 24, .ip = 104, .locals = 360, .owner = -1, .ip_kind = TMK_PY_IP_BYTES,
	 .file = 104, .name = 112, .qualname = 112, .first_line = 40, .lines = 120, .bytes = -1,
	 .ascii = 48, .compact = 72},
	/* f_stacktop became an int, f_lasti counts instructions, co_lnotab became co_linetable */
	{.minor = 10, .current = 24, .cframe = -1,
	 .code = 32, .previous = 24, .ip = 96, .locals = 352, .owner = -1, .ip_kind = TMK_PY_IP_UNITS,
	 .file = 104, .name = 112, .qualname = 112, .first_line = 40, .lines = 120, .bytes = -1,
	 .ascii = 48, .compact = 72},
	/* _PyInterpreterFrame behind _PyCFrame; bytecode inside the code object */
	{.minor = 11, .current = 56, .cframe = 8,
	 .code = 32, .previous = 48, .ip = 56, .locals = 72, .owner = 69, .ip_kind = TMK_PY_IP_POINTER,
	 .file = 112, .name = 120, .qualname = 128, .first_line = 72, .lines = 136, .bytes = 184,
	 .ascii = 48, .compact = 72},
	/* wstr left the str object; shim frames appeared (owner 3) */
	{.minor = 12, .current = 56, .cframe = 0,
	 .code = 0, .previous = 8, .ip = 56, .locals = 72, .owner = 70, .ip_kind = TMK_PY_IP_POINTER,
	 .file = 112, .name = 120, .qualname = 128, .first_line = 68, .lines = 136, .bytes = 192,
	 .ascii = 40, .compact = 56},
	/* 3.13 and 3.14: what releases publish in their debug offsets, which decide */
	{.minor = 13, .current = 72, .cframe = -1,
	 .code = 0, .previous = 8, .ip = 56, .locals = 72, .owner = 70, .ip_kind = TMK_PY_IP_POINTER,
	 .file = 112, .name = 120, .qualname = 128, .first_line = 68, .lines = 136, .bytes = 200,
	 .ascii = 40, .compact = 56},
	{.minor = 14, .current = 72, .cframe = -1,
	 .code = 0, .previous = 8, .ip = 56, .locals = 80, .owner = 74, .ip_kind = TMK_PY_IP_POINTER,
	 .file = 112, .name = 120, .qualname = 128, .first_line = 68, .lines = 136, .bytes = 208,
	 .ascii = 40, .compact = 56},
};
/* clang-format on */

#endif
