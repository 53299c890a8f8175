/* pylayout.c - finds the layout of the CPython in this process.
 *
 * Called from: tmk_pystack_init, off the hot path; it calls dlsym.
 *
 * Up to 3.12 the offsets are facts of each minor version (pylayout_table.h). From 3.13
 * the interpreter publishes them in _PyRuntime.debug_offsets; but that structure does
 * not describe itself (its blocks grow from one minor to the next), so it is read only
 * for the minors whose shape is known. An unknown minor is refused: a guess would read
 * wild addresses in a process that is not ours.
 */
#include "pylayout.h"
#include "hot.h"
#include "pylayout_table.h"

TMK_HOT_DATA struct tmk_py_layout tmk_py;

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The shape of _Py_DebugOffsets, in 8-byte words. The order of the blocks: head
 * (cookie, version, free_threaded), runtime_state (3), interpreter_state, thread_state,
 * interpreter_frame, code_object. Within a block new words were only ever added behind
 * the ones used here. */
struct shape {
	int minor, interpreter, thread, frame;
};
static const struct shape shapes[] = {
        {.minor = 13, .interpreter = 13, .thread = 9, .frame = 6},
        {.minor = 14, .interpreter = 16, .thread = 9, .frame = 8},
};
enum { HEAD_WORDS = 3, RUNTIME_WORDS = 3, VERSION_WORD = 1, FREE_THREADED_WORD = 2 };
/* Words within their block; word 0 is the size of the structure described. */
enum { THREAD_FRAME = 4 };
enum { FRAME_PREVIOUS = 1, FRAME_CODE, FRAME_IP, FRAME_LOCALS, FRAME_OWNER };
enum { CODE_FILE = 1, CODE_NAME, CODE_QUALNAME, CODE_LINES, CODE_FIRST_LINE };
enum { CODE_BYTES = 9 };

static int refuse(char *why, size_t n, const char *text)
{
	snprintf(why, n, "%s", text);
	return -ENOTSUP;
}

/* Every offset read lies inside the structure whose size the block states. */
static int sane(const uint64_t *block, int first, int last, uint64_t limit)
{
	if (block[0] == 0 || block[0] > limit)
		return 0;
	for (int i = first; i <= last; i++)
		if (block[i] >= block[0] || (i != FRAME_OWNER && block[i] % 4))
			return 0;
	return 1;
}

static int from_debug_offsets(struct tmk_py_layout *out, int minor, char *why, size_t n)
{
	const struct shape *s = NULL;
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		if (shapes[i].minor == minor)
			s = &shapes[i];
	const uint64_t *words = dlsym(RTLD_DEFAULT, "_PyRuntime");
	if (!s || !words || memcmp(words, "xdebugpy", 8) != 0 ||
	    (int)(words[VERSION_WORD] >> 16 & 0xff) != minor)
		return refuse(why, n, "this Python publishes no known frame layout");
	if (words[FREE_THREADED_WORD])
		return refuse(why, n, "free-threaded Python is not supported");

	const uint64_t *thread = words + HEAD_WORDS + RUNTIME_WORDS + s->interpreter;
	const uint64_t *frame = thread + s->thread;
	const uint64_t *code = frame + s->frame;
	if (!sane(thread, THREAD_FRAME, THREAD_FRAME, 4096) ||
	    !sane(frame, FRAME_PREVIOUS, FRAME_OWNER, 512) ||
	    !sane(code, CODE_FILE, CODE_FIRST_LINE, 1024) ||
	    code[CODE_BYTES] >= code[0])
		return refuse(why, n, "this Python's frame layout does not add up");
	*out = (struct tmk_py_layout){
	        .minor = minor,
	        .current = (int16_t)thread[THREAD_FRAME],
	        .cframe = -1,
	        .code = (int16_t)frame[FRAME_CODE],
	        .previous = (int16_t)frame[FRAME_PREVIOUS],
	        .ip = (int16_t)frame[FRAME_IP],
	        .locals = (int16_t)frame[FRAME_LOCALS],
	        .owner = (int16_t)frame[FRAME_OWNER],
	        .ip_kind = TMK_PY_IP_POINTER,
	        .file = (int16_t)code[CODE_FILE],
	        .name = (int16_t)code[CODE_NAME],
	        .qualname = (int16_t)code[CODE_QUALNAME],
	        .first_line = (int16_t)code[CODE_FIRST_LINE],
	        .lines = (int16_t)code[CODE_LINES],
	        .bytes = (int16_t)code[CODE_BYTES],
	        .ascii = 40,
	        .compact = 56,
	};
	return 0;
}

/* The minor version, or -1. Py_Version is there from 3.11. */
static int version(void)
{
	const unsigned long *hex = dlsym(RTLD_DEFAULT, "Py_Version");
	if (hex)
		return *hex >> 24 == 3 ? (int)(*hex >> 16 & 0xff) : -1;
	union {
		void *object;
		const char *(*call)(void);
	} get = {.object = dlsym(RTLD_DEFAULT, "Py_GetVersion")};
	int minor;
	if (!get.object || sscanf(get.call(), "3.%d", &minor) != 1)
		return -1;
	return minor;
}

int tmk_pylayout_find(struct tmk_py_layout *out, char *why, size_t n)
{
	union {
		void *object;
		void *(*call)(void);
	} this_thread = {.object =
	                         dlsym(RTLD_DEFAULT, "PyGILState_GetThisThreadState")};
	const void *code_type = dlsym(RTLD_DEFAULT, "PyCode_Type");
	if (!this_thread.object || !code_type)
		return refuse(why, n, "no Python in this process");
	int minor = version(), rc = 0;
	*why = 0;
	if (minor >= 8 && minor <= 12)
		*out = tmk_py_by_minor[minor - TMK_PY_FIRST];
	else if (minor == 13 || minor == 14)
		rc = from_debug_offsets(out, minor, why, n);
	else
		rc = -ENOTSUP;
	if (rc == -ENOTSUP && !*why)
		snprintf(why, n, "Python 3.%d is not known to this version", minor);
	if (rc)
		return rc;
	out->this_thread = this_thread.call;
	out->code_type = code_type;
	return 0;
}
