/* pylayout.h - where CPython keeps its frames, by version. For pystack.c and pytext.c.
 * Filled once by tmk_pylayout_find, read-only from then on. */
#ifndef TIDEMARK_HOOKS_PYLAYOUT_H
#define TIDEMARK_HOOKS_PYLAYOUT_H

#include <stddef.h>
#include <stdint.h>

/* How a frame says where it is. */
enum tmk_py_ip {
	TMK_PY_IP_BYTES,   /* int f_lasti, in bytes: 3.8, 3.9 */
	TMK_PY_IP_UNITS,   /* int f_lasti, in two-byte instructions: 3.10 */
	TMK_PY_IP_POINTER, /* pointer into the code object's own bytecode: 3.11+ */
};

/* Byte offsets; -1 where the version has no such thing. */
struct tmk_py_layout {
	int minor;
	/* thread state */
	int16_t current; /* the frame, or the C frame that holds it (3.11, 3.12) */
	int16_t cframe;  /* the frame within the C frame, or -1 */
	/* frame */
	int16_t code, previous, ip, locals, owner, ip_kind; /* enum tmk_py_ip */
	/* code object */
	int16_t file, name, qualname, first_line, lines, bytes;
	/* str: first character of a compact ASCII string, and of any other compact one
	 */
	int16_t ascii, compact;
	/* symbols */
	const void *code_type;
	void *(*this_thread)(void);
};

/* Offsets of object heads, the same in every version here. */
enum {
	TMK_PY_OB_TYPE = 8,   /* PyObject.ob_type */
	TMK_PY_OB_SIZE = 16,  /* PyVarObject.ob_size, PyASCIIObject.length */
	TMK_PY_STR_HASH = 24, /* PyASCIIObject.hash */
	TMK_PY_STR_STATE = 32,
	TMK_PY_BYTES_DATA = 32,
	TMK_PY_TYPE_NAME = 24, /* PyTypeObject.tp_name */
	TMK_PY_TYPE_DEALLOC = 48,
};

/* The layout of the interpreter in this process. 0, or -ENOTSUP with the reason. */
int tmk_pylayout_find(struct tmk_py_layout *out, char *why, size_t n);

static inline const char *tmk_py_ptr(const void *p, int offset)
{
	return *(const char *const *)((const char *)p + offset);
}

static inline int32_t tmk_py_i32(const void *p, int offset)
{
	return *(const int32_t *)((const char *)p + offset);
}

static inline int64_t tmk_py_i64(const void *p, int offset)
{
	return *(const int64_t *)((const char *)p + offset);
}

/* The layout pystack.c works with. minor is 0 until tmk_pystack_init has succeeded. */
extern struct tmk_py_layout tmk_py;

#endif
