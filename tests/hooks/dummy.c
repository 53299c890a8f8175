/* dummy.c - the libraries of the walk: functions of hooks.def that write down all that they
 * were given, and a caller that fills every register first. x86-64. */
#include "rows.h"

#include <dlfcn.h>

#define STRING2(x) #x
#define STRING(x)  STRING2(x)

#if !defined(EMPTY) && !defined(CALLER_ONLY)
#define ROW_OF(symbol)                                                                 \
	".globl " #symbol "\n.type " #symbol ", @function\n" #symbol ":\n"             \
	"	movl $row, %r11d\n	jmp wrote_down\n"                                         \
	".size " #symbol ", . - " #symbol "\n"
#define ROW_C10(symbol)
#define ROW_CPU(symbol)
#define ROW_C10_CUDA(symbol)
#define ROW_CUDART(symbol)
#define ROW_CUDA(symbol)
#define ROW_NCCL(symbol)
#define ROW_LIBC(symbol)
#if defined(PROVIDE_C10) || defined(PROVIDE_ALL)
#undef ROW_C10
#define ROW_C10(symbol) ROW_OF(symbol)
#endif
#if defined(PROVIDE_CPU) || defined(PROVIDE_ALL)
#undef ROW_CPU
#define ROW_CPU(symbol) ROW_OF(symbol)
#endif
#if defined(PROVIDE_C10_CUDA) || defined(PROVIDE_ALL)
#undef ROW_C10_CUDA
#define ROW_C10_CUDA(symbol) ROW_OF(symbol)
#endif
#if defined(PROVIDE_CUDART) || defined(PROVIDE_ALL)
#undef ROW_CUDART
#define ROW_CUDART(symbol) ROW_OF(symbol)
#endif
#if defined(PROVIDE_CUDA) || defined(PROVIDE_ALL)
#undef ROW_CUDA
#define ROW_CUDA(symbol) ROW_OF(symbol)
#endif
#if defined(PROVIDE_NCCL) || defined(PROVIDE_ALL)
#undef ROW_NCCL
#define ROW_NCCL(symbol) ROW_OF(symbol)
#endif

__asm__(".text\n.set row, 0\n"
#define HOOK(field, library, need, result, arguments, symbol)                          \
	ROW_##library(symbol) ".set row, row + 1\n"
#define HOOK_TOO HOOK
#define REAL(field, library, need, result, arguments, symbol)
#define REAL_TOO REAL
#include "hooks.def"
#undef HOOK
#undef HOOK_TOO
#undef REAL
#undef REAL_TOO
#ifdef FRONT
        "wrote_down:\n"
        "	leaq front_next(%rip), %r10\n"
        "	jmp *(%r10,%r11,8)\n");
__attribute__((used)) static void *front_next[ROW_COUNT];
__attribute__((constructor)) static void find_next(void)
{
#define HOOK(field, library, need, result, arguments, symbol)                          \
	front_next[ROW_##symbol] = dlsym(RTLD_NEXT, #symbol);
#define HOOK_TOO HOOK
#define REAL(field, library, need, result, arguments, symbol)
#define REAL_TOO REAL
#include "hooks.def"
#undef HOOK
#undef HOOK_TOO
#undef REAL
#undef REAL_TOO
}
#else
        /* The place to write is the sixth integer argument's, where there are six; a
         * global of the walk's tells. */
        "wrote_down:\n"
        "	movq walk_seen@GOTPCREL(%rip), %r10\n"
        "	movq %rdi, 0(%r10)\n	movq %rsi, 8(%r10)\n	movq %rdx, 16(%r10)\n"
        "	movq %rcx, 24(%r10)\n	movq %r8, 32(%r10)\n	movq %r9, 40(%r10)\n"
        "	movsd %xmm0, 48(%r10)\n	movsd %xmm1, 56(%r10)\n	movsd %xmm2, 64(%r10)\n"
        "	movsd %xmm3, 72(%r10)\n	movsd %xmm4, 80(%r10)\n	movsd %xmm5, 88(%r10)\n"
        "	movsd %xmm6, 96(%r10)\n	movsd %xmm7, 104(%r10)\n"
        "	movq 8(%rsp), %rax\n	movq %rax, 112(%r10)\n"
        "	movq 16(%rsp), %rax\n	movq %rax, 120(%r10)\n"
        "	movq 24(%rsp), %rax\n	movq %rax, 128(%r10)\n"
        "	movq 32(%rsp), %rax\n	movq %rax, 136(%r10)\n"
        "	movq %r11, 160(%r10)\n"
        "	movq $" STRING(
                COPY) ", 168(%r10)\n"
                      "	incq 176(%r10)\n"
                      "	movq 184(%r10), %rax\n"
                      "	cmpq $-1, %rax\n	jne 1f\n"
                      /* of a function that does not return: the end, with a status of its own */
                      "	movl $44, %edi\n	movl $231, %eax\n	syscall\n"
                      "1:	ret\n");
#endif
#endif

#ifdef CALLER
/* Calls `function` with all registers and four words of the stack filled. */
__attribute__((visibility("default"))) void walk_call(void *function,
                                                      struct registers *r);
__asm__(".text\n.globl walk_call\n.type walk_call, @function\nwalk_call:\n"
        "	pushq %rbp\n	movq %rsp, %rbp\n	pushq %rbx\n	pushq %r12\n"
        "	movq %rdi, %r12\n	movq %rsi, %rbx\n"
        "	pushq 136(%rbx)\n	pushq 128(%rbx)\n	pushq "
        "120(%rbx)\n	pushq 112(%rbx)\n"
        "	movsd 48(%rbx), %xmm0\n	movsd 56(%rbx), %xmm1\n	movsd 64(%rbx), %xmm2\n"
        "	movsd 72(%rbx), %xmm3\n	movsd 80(%rbx), %xmm4\n	movsd 88(%rbx), %xmm5\n"
        "	movsd 96(%rbx), %xmm6\n	movsd 104(%rbx), %xmm7\n"
        "	movq 0(%rbx), %rdi\n	movq 8(%rbx), %rsi\n	movq 16(%rbx), %rdx\n"
        "	movq 24(%rbx), %rcx\n	movq 32(%rbx), %r8\n	movq 40(%rbx), %r9\n"
        "	call *%r12\n"
        "	movq %rax, 144(%rbx)\n	movq %rdx, 152(%rbx)\n"
        "	leaq -16(%rbp), %rsp\n	popq %r12\n	popq %rbx\n	popq "
        "%rbp\n	ret\n"
        ".size walk_call, . - walk_call\n");

/* As this object's own calls are bound. */
#define HOOK(field, library, need, result, arguments, symbol)                          \
	extern char row_##symbol[] __asm__(#symbol);
#define HOOK_TOO HOOK
#define REAL(field, library, need, result, arguments, symbol)
#define REAL_TOO REAL
#include "hooks.def"
#undef HOOK
__attribute__((visibility("default"))) void *const walk_rows[ROW_COUNT] = {
#define HOOK(field, library, need, result, arguments, symbol)                          \
	[ROW_##symbol] = row_##symbol,
#include "hooks.def"
};
#endif
