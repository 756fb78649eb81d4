/* x86-64, System V calling convention (Linux, BSD; any ELF system).
 *
 * The picture of a parked stack, upwards from the saved stack pointer:
 *
 *      sp + 0   mxcsr (4 bytes), x87 control word (2 bytes), 2 bytes unused
 *      sp + 8   r15
 *      sp + 16  r14
 *      sp + 24  r13
 *      sp + 32  r12
 *      sp + 40  rbx      in a fresh image: the entry function
 *      sp + 48  rbp      in a fresh image: 0, so that walks along frame pointers end
 *      sp + 56  rip      in a fresh image: `outermost`
 *      sp + 64  the caller's frame; in a fresh image two zero words, then the top of the stack
 *
 * It ends in a plain `ret`, though the return address belongs to another stack than the call. The processor's
 * return predictor does not know of stacks: it expects the address after the call that led here. The engine has
 * one such call on its fast path, so that is where the other side goes on, too, and the returns above it are
 * predicted as well where both sides stand in the same functions. A jump would leave the predictor one entry too
 * many, and every return after it would be wrong (ping-pong from Python: 79 ns with a jump, 57 ns with `ret`). A
 * benchmark of the bare swap says the opposite if its two sides call from two places.
 *
 * ldmxcsr and fldcw are slow, so they run only if the control bits differ; the status bits of mxcsr (the sticky
 * exception flags) are not preserved across calls by this convention, so they do not count.
 *
 * The property note at the end says IBT (all indirect targets here have their endbr64) and not SHSTK: with shadow
 * stacks on, these swaps would fault. The linker gives the library only the marks that all its objects have. */

#define CONTROL_BITS 0xffc0 /* of mxcsr: masks, rounding, flush to zero; not the six sticky flags */

        .text

/* Push the callee-saved state; the stack pointer then is what `save` gets. */
        .macro  park
        pushq   %rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbp, 0
        pushq   %rbx
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbx, 0
        pushq   %r12
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r12, 0
        pushq   %r13
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r13, 0
        pushq   %r14
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r14, 0
        pushq   %r15
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r15, 0
        subq    $8, %rsp
        .cfi_adjust_cfa_offset 8
        stmxcsr (%rsp)
        fnstcw  4(%rsp)
        movq    %rsp, (%rdi)
        .endm

/* Go on at the stack pointer in %rsp. \mx and \cw hold the control words in force now. */
        .macro  resume mx, cw
        xorl    (%rsp), \mx
        testl   $CONTROL_BITS, \mx
        jne     7f
8:      cmpw    4(%rsp), \cw
        jne     9f
6:      addq    $8, %rsp
        .cfi_adjust_cfa_offset -8
        popq    %r15
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r15
        popq    %r14
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r14
        popq    %r13
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r13
        popq    %r12
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r12
        popq    %rbx
        .cfi_adjust_cfa_offset -8
        .cfi_restore %rbx
        popq    %rbp
        .cfi_adjust_cfa_offset -8
        .cfi_restore %rbp
        ret                             /* where the other side goes on */
        .cfi_adjust_cfa_offset 56       /* the slow tails stand before the pops */
        .cfi_offset %rbp, -16
        .cfi_offset %rbx, -24
        .cfi_offset %r12, -32
        .cfi_offset %r13, -40
        .cfi_offset %r14, -48
        .cfi_offset %r15, -56
7:      ldmxcsr (%rsp)
        jmp     8b
9:      fldcw   4(%rsp)
        jmp     6b
        .endm

/* void arch_swap(void **save, void *to) */
        .globl  arch_swap
        .hidden arch_swap
        .type   arch_swap, @function
        .p2align 4
arch_swap:
        .cfi_startproc
        endbr64
        park
        movl    (%rsp), %eax            /* read from the old stack: the new one may differ */
        movzwl  4(%rsp), %edx
        movq    %rsi, %rsp
        resume  %eax, %dx
        .cfi_endproc
        .size   arch_swap, .-arch_swap

/* void arch_swap_through(void **save, void *scratch, void *(*work)(void *), void *argument) */
        .globl  arch_swap_through
        .hidden arch_swap_through
        .type   arch_swap_through, @function
        .p2align 4
arch_swap_through:
        .cfi_startproc
        endbr64
        park
        movl    (%rsp), %r12d           /* pushed above, so free to carry the control words over the call */
        movzwl  4(%rsp), %r13d
        movq    %rsp, %rbp              /* lets a debugger walk from the scratch stack back to the old one */
        .cfi_def_cfa_register %rbp
        movq    %rsi, %rsp
        movq    %rcx, %rdi
        call    *%rdx
        movq    %rax, %rsp
        .cfi_def_cfa_register %rsp
        resume  %r12d, %r13w
        .cfi_endproc
        .size   arch_swap_through, .-arch_swap_through

/* void *arch_prepare(void *top, void (*entry)(void)) */
        .globl  arch_prepare
        .hidden arch_prepare
        .type   arch_prepare, @function
        .p2align 4
arch_prepare:
        .cfi_startproc
        endbr64
        leaq    -80(%rdi), %rax
        xorl    %ecx, %ecx
        movq    %rcx, (%rax)
        stmxcsr (%rax)
        fnstcw  4(%rax)
        movq    %rcx, 8(%rax)           /* r15 */
        movq    %rcx, 16(%rax)          /* r14 */
        movq    %rcx, 24(%rax)          /* r13 */
        movq    %rcx, 32(%rax)          /* r12 */
        movq    %rsi, 40(%rax)          /* rbx */
        movq    %rcx, 48(%rax)          /* rbp */
        leaq    outermost(%rip), %rdx
        movq    %rdx, 56(%rax)          /* rip */
        movq    %rcx, 64(%rax)          /* a return address of 0 for walkers without unwind tables */
        movq    %rcx, 72(%rax)
        ret
        .cfi_endproc
        .size   arch_prepare, .-arch_prepare

/* First instruction of a fresh stack. It has no caller: `.cfi_undefined rip` tells the unwinder to end here. */
        .type   outermost, @function
        .p2align 4
outermost:
        .cfi_startproc
        .cfi_undefined %rip
        endbr64
        call    *%rbx
        ud2                             /* entry() does not return */
        .cfi_endproc
        .size   outermost, .-outermost

#if defined(__CET__) && (__CET__ & 1)
        .section .note.gnu.property, "a"
        .p2align 3
        .long   4, 16, 5                /* lengths of name and content; NT_GNU_PROPERTY_TYPE_0 */
        .asciz  "GNU"
        .long   0xc0000002, 4, 1, 0     /* GNU_PROPERTY_X86_FEATURE_1_AND, its length, IBT, padding */
#endif

        .section .note.GNU-stack, "", @progbits
