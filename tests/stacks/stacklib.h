/* stacklib.h - what libstacks.so exports, for the C programs here. (Python:
 * walkers.py.) */
#ifndef TIDEMARK_TESTS_STACKLIB_H
#define TIDEMARK_TESTS_STACKLIB_H

#include "../../hooks/native/cstack.h"

#include <stddef.h>
#include <stdint.h>

int stk_py_init(char *why, size_t n);
/* With the GIL (ctypes.PyDLL): 1 if deaths of codes are counted now. */
int stk_py_watch(void);
int stk_py_capture(char *buf, size_t n, uint64_t *numbers, char *cls, size_t ncls);
int stk_py_numbers(uint64_t *numbers);
/* How many of the walks so far were of stacks remembered. */
uint64_t stk_py_known_again(void);
/* Of a stack that is remembered, once deaths are counted. */
double stk_py_ns(int rounds);
long stk_py_mallocs(int rounds);

int stk_c_init(char *why, size_t n);
struct tmk_c_stack *stk_c_walk(void);
int stk_c_steps(uint64_t *pc, int size);
int stk_c_trace(uint64_t *pc, int size);
void stk_c_verify(int on);
void stk_c_thread_exit(void);
void stk_c_count(uint64_t *five);

#endif
