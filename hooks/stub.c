/* stub.c - what stands in tmk_real until a function is found, and where one of several is
 * to be chosen at each call: it keeps every register that may hold an argument, asks real.c
 * where to go, and goes there as if the wrapper had called it.
 *
 * x86-64, System V: six integer registers, rax (how many vector registers hold arguments),
 * r10 (static chain), eight vector registers. No row of hooks.def passes a vector wider than
 * 16 bytes. What is passed in memory, and the place of a result, stay where they are. Another
 * processor needs the two macros below, and hot.h's kind of care for nothing else.
 * Called from: the wrappers, on any thread, within itself too. */
#include "real.h"

#ifndef __x86_64__
#error "the stubs are written for x86-64"
#endif

/* One stub a row; what is only called takes a number and has none. */
#define NUMBER ".set tmk_row, tmk_row + 1\n"
#define STUB(field)                                                                    \
	".p2align 4\n"                                                                 \
	".globl tmk_stub_" field "\n.hidden tmk_stub_" field "\n"                      \
	".type tmk_stub_" field ", @function\n"                                        \
	"tmk_stub_" field ":\n"                                                        \
	"	.cfi_startproc\n"                                                            \
	"	endbr64\n"                                                                   \
	"	movl $tmk_row, %r11d\n"                                                      \
	"	jmp tmk_stub_common\n"                                                       \
	"	.cfi_endproc\n"                                                              \
	".size tmk_stub_" field ", . - tmk_stub_" field "\n"

__asm__(".pushsection .text.tmk_stubs, \"ax\", @progbits\n"
        ".set tmk_row, 0\n"
#define HOOK(field, library, need, result, arguments, symbol) STUB(#field) NUMBER
#define REAL(field, library, need, result, arguments, symbol) NUMBER
#define HOOK_TOO(field, library, need, result, arguments, symbol)
#define REAL_TOO HOOK_TOO
#include "hooks.def"
#undef HOOK
#undef REAL
#undef HOOK_TOO
#undef REAL_TOO
        /* The stack is 16-aligned after the push, as at any function's first line. */
        ".p2align 4\n"
        ".type tmk_stub_common, @function\n"
        "tmk_stub_common:\n"
        "	.cfi_startproc\n"
        "	pushq %rbp\n"
        "	.cfi_def_cfa_offset 16\n"
        "	.cfi_offset %rbp, -16\n"
        "	movq %rsp, %rbp\n"
        "	.cfi_def_cfa_register %rbp\n"
        "	subq $192, %rsp\n"
        "	movq %rax, (%rsp)\n"
        "	movq %rdi, 8(%rsp)\n"
        "	movq %rsi, 16(%rsp)\n"
        "	movq %rdx, 24(%rsp)\n"
        "	movq %rcx, 32(%rsp)\n"
        "	movq %r8, 40(%rsp)\n"
        "	movq %r9, 48(%rsp)\n"
        "	movq %r10, 56(%rsp)\n"
        "	movaps %xmm0, 64(%rsp)\n"
        "	movaps %xmm1, 80(%rsp)\n"
        "	movaps %xmm2, 96(%rsp)\n"
        "	movaps %xmm3, 112(%rsp)\n"
        "	movaps %xmm4, 128(%rsp)\n"
        "	movaps %xmm5, 144(%rsp)\n"
        "	movaps %xmm6, 160(%rsp)\n"
        "	movaps %xmm7, 176(%rsp)\n"
        "	movl %r11d, %edi\n"
        "	movq %rbp, %rsi\n"
        "	call tmk_stub_target\n"
        "	movq %rax, %r11\n"
        "	movq (%rsp), %rax\n"
        "	movq 8(%rsp), %rdi\n"
        "	movq 16(%rsp), %rsi\n"
        "	movq 24(%rsp), %rdx\n"
        "	movq 32(%rsp), %rcx\n"
        "	movq 40(%rsp), %r8\n"
        "	movq 48(%rsp), %r9\n"
        "	movq 56(%rsp), %r10\n"
        "	movaps 64(%rsp), %xmm0\n"
        "	movaps 80(%rsp), %xmm1\n"
        "	movaps 96(%rsp), %xmm2\n"
        "	movaps 112(%rsp), %xmm3\n"
        "	movaps 128(%rsp), %xmm4\n"
        "	movaps 144(%rsp), %xmm5\n"
        "	movaps 160(%rsp), %xmm6\n"
        "	movaps 176(%rsp), %xmm7\n"
        "	leave\n"
        "	.cfi_def_cfa %rsp, 8\n"
        "	jmp *%r11\n"
        "	.cfi_endproc\n"
        ".size tmk_stub_common, . - tmk_stub_common\n"
        ".popsection\n");
